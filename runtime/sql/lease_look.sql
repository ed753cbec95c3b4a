-- After a waited grant: for how many milliseconds a lease is in the way, NULL = none is.
SELECT @schema@.lease_in_the_way($1::text[])
