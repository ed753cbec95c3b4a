SELECT @schema@.wait_locks($1::bigint[], $2::boolean[], $3::integer)
