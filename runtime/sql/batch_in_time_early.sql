-- batch_in_time.sql where the deadline is $1 after the transaction began, which is before its locks
-- were granted. Raises for a deadline of NULL as for one that has passed.
SELECT @schema@.still_in_time(NULL::timestamptz)
 WHERE (pg_catalog.clock_timestamp() < pg_catalog.now() + $1::interval) IS NOT TRUE
