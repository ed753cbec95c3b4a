-- Nothing is kept: the lease goes. Twice is harmless, and a later holder's rows have another token.
DELETE FROM @schema@.lease WHERE path = ANY ($1::text[]) AND token = $2::bigint
