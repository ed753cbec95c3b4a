SELECT @schema@.try_locks($1::integer[], $2::bigint[], $3::boolean[])
