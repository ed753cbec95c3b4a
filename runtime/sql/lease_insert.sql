-- Takes a lease on paths whose advisory locks this transaction holds. One token for all of them, drawn
-- here, so that it is durable once the rows are. $7: the deadline.
WITH drawn AS MATERIALIZED (SELECT pg_catalog.nextval('@schema@.lease_token') AS token)
INSERT INTO @schema@.lease (path, token, holder, process, instance, workflow, activity, expires_at)
SELECT p.path, d.token, $2::uuid, $3::uuid, $4::uuid, $5::text, $6::text, $7::timestamptz
  FROM unnest($1::text[]) AS p(path), drawn AS d
RETURNING token
