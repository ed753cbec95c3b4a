-- Raises when the deadline has passed: an execution that outlasted its lock cannot commit. In time, the
-- function is not called.
SELECT @schema@.still_in_time($1::timestamptz)
 WHERE (pg_catalog.clock_timestamp() < $1::timestamptz) IS NOT TRUE
