-- Running instances of this process that it has not at hand: the answer to a commit, or the end of a
-- run, was lost. A job goes on with each after its last commit point. $2: what is at hand; $4: in
-- milliseconds, how long nothing has happened to it.
WITH forgotten AS (
    SELECT i.id
      FROM @schema@.instance AS i
     WHERE i.status = 'running' AND i.process = $1::uuid AND i.id <> ALL ($2::uuid[])
       AND i.updated_at < pg_catalog.clock_timestamp() - $4::bigint * interval '1 millisecond'
     LIMIT 100
       FOR UPDATE OF i SKIP LOCKED
), freed AS (
    UPDATE @schema@.instance AS i
       SET process = NULL, state_version = i.state_version + 1, updated_at = pg_catalog.clock_timestamp()
      FROM forgotten AS o
     WHERE i.id = o.id
    RETURNING i.id, i.workflow, i.version
)
INSERT INTO @schema@.job (id, kind, workflow, version, instance)
SELECT (left($3::text, 15) || substr(gen_random_uuid()::text, 16))::uuid, 'resume', f.workflow, f.version, f.id
  FROM freed AS f
RETURNING instance
