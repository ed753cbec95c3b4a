-- The tries of several members and the look for leases, after which a member has all or nothing.
SELECT @schema@.try_paths($1::integer[], $2::bigint[], $3::boolean[], $4::integer[], $5::text[])
