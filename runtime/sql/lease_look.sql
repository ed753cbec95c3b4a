-- After the grant: for how many milliseconds a lease is in the way, NULL = none is. Mostly there is no
-- lease at all, and no function is called.
SELECT CASE WHEN EXISTS (SELECT FROM @schema@.lease) THEN @schema@.lease_in_the_way($1::text[]) END
