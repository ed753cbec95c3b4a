INSERT INTO @schema@.host (process, name, pid) VALUES ($1::uuid, $2::text, $3::integer)
ON CONFLICT (process) DO UPDATE SET beat_at = pg_catalog.clock_timestamp()
