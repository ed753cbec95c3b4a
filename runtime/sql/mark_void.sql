-- The look-up: claims the attempt as void unless its mark stands. Waits for a transaction that is
-- still open (the caller's lock_timeout bounds that). The second row is the look-up's own, so that
-- its commit is durable also when the first inserts nothing.
INSERT INTO @schema@.commit_mark (attempt, void) VALUES ($1::uuid, true), ($2::uuid, true)
ON CONFLICT DO NOTHING
