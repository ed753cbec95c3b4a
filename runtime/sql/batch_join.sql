-- The tries of those that join a transaction which waited for a lock and has it. $1, $2: advisory keys to
-- try, shared and exclusive. Gives those that were refused; with a shared one among them no exclusive one
-- is tried: batch_open.sql says why.
SELECT d.refused,
       CASE WHEN d.refused IS NULL THEN
           (SELECT pg_catalog.array_agg(k) FROM pg_catalog.unnest($2::bigint[]) AS k
             WHERE NOT pg_catalog.pg_try_advisory_xact_lock(k)) END
  FROM (SELECT (SELECT pg_catalog.array_agg(k) FROM pg_catalog.unnest($1::bigint[]) AS k
                 WHERE NOT pg_catalog.pg_try_advisory_xact_lock_shared(k)) AS refused) AS d
