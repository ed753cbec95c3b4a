-- What hosts that are gone have left.
DELETE FROM @schema@.lock_name WHERE seen_at < pg_catalog.clock_timestamp() - interval '1 minute'
