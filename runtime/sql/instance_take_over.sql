-- Running instances of processes that are gone: a job goes on with each after its last commit point.
WITH orphans AS (
    SELECT i.id
      FROM @schema@.instance AS i
     WHERE i.status = 'running' AND i.process IS NOT NULL AND i.process <> $1::uuid
       AND NOT EXISTS (SELECT FROM @schema@.host AS h
                        WHERE h.process = i.process
                          AND h.beat_at > pg_catalog.clock_timestamp() - $2::bigint * interval '1 millisecond')
     LIMIT 100
       FOR UPDATE OF i SKIP LOCKED
), freed AS (
    UPDATE @schema@.instance AS i
       SET process = NULL, state_version = i.state_version + 1, updated_at = pg_catalog.clock_timestamp()
      FROM orphans AS o
     WHERE i.id = o.id
    RETURNING i.id, i.workflow, i.version
)
INSERT INTO @schema@.job (id, kind, workflow, version, instance, alone)
SELECT (left($3::text, 15) || substr(gen_random_uuid()::text, 16))::uuid, 'resume', f.workflow, f.version, f.id,
       true
  FROM freed AS f
RETURNING instance
