-- After the grant: for how many milliseconds a lease is in the way, no row or NULL = none is. Mostly
-- there is no lease at all, and the function is not called.
SELECT @schema@.lease_in_the_way($1::text[]) FROM @schema@.lease LIMIT 1
