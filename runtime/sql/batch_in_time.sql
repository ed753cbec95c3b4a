-- Raises when the deadline has passed: an execution that outlasted its lock cannot commit. In time, no
-- function is called.
SELECT CASE WHEN (pg_catalog.clock_timestamp() < $1::timestamptz) IS NOT TRUE
            THEN @schema@.still_in_time($1::timestamptz) END
