-- Jobs that nobody has had in hands yet, the most urgent first. $4: the jobs that this process has at
-- hand, NULL unless the answer to an earlier claim, or to the commit of a job, was lost: then what it
-- has claimed beside them is fetched too.
WITH due AS MATERIALIZED (
    SELECT id
      FROM @schema@.job
     WHERE NOT dead AND run_at <= pg_catalog.clock_timestamp()
       AND ((claimed_by IS NULL AND NOT alone)
            OR ($4::uuid[] IS NOT NULL AND claimed_by = $1::uuid AND NOT id = ANY ($4::uuid[])))
     ORDER BY priority DESC, run_at
     LIMIT $3::integer
       FOR UPDATE SKIP LOCKED
)
UPDATE @schema@.job AS j
   SET claimed_by = $1::uuid,
       claimed_until = pg_catalog.clock_timestamp() + $2::bigint * interval '1 millisecond'
  FROM due
 WHERE j.id = due.id
RETURNING j.id, j.kind, j.workflow, j.version, j.instance, j.event, j.payload, j.input, j.key, j.alone,
          j.attempts, j.attempts_max
