CREATE TABLE IF NOT EXISTS @schema@.migration (
    name text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
)
