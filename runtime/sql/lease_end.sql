-- The holder ends: its rows, locked in the order of their paths, are there and unexpired, or an error
-- ends the transaction. $1: paths; $2: token; $3: how many.
WITH mine AS MATERIALIZED (
    SELECT path FROM @schema@.lease
     WHERE path = ANY ($1::text[]) AND token = $2::bigint
     ORDER BY path FOR UPDATE
), gone AS (
    DELETE FROM @schema@.lease AS l USING mine AS m
     WHERE l.path = m.path AND l.token = $2::bigint AND l.expires_at > pg_catalog.clock_timestamp()
    RETURNING 1)
SELECT @schema@.expect_lease(count(*), $3::bigint) FROM gone
