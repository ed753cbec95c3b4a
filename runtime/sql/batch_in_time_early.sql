-- batch_in_time.sql where the deadline is $1 milliseconds after the transaction began, which is
-- before its locks were granted.
SELECT @schema@.still_in_time(pg_catalog.now() + $1::integer * interval '1 millisecond')
 WHERE (pg_catalog.clock_timestamp() < pg_catalog.now() + $1::integer * interval '1 millisecond')
       IS NOT TRUE
