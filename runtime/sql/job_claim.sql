-- Jobs that nobody has had in hands yet, the most urgent first. $4: the jobs that this process has at
-- hand, NULL unless the answer to an earlier claim, or to the commit of a job, was lost: then what it
-- has claimed beside them is fetched too.
-- A row is found again by its place, as it was locked. One that somebody has changed since the statement
-- began is locked in a place that the statement does not see: it is left for the next claim.
WITH taken AS (
    UPDATE @schema@.job AS j
       SET claimed_by = $1::uuid,
           claimed_until = pg_catalog.clock_timestamp() + $2::bigint * interval '1 millisecond'
     WHERE j.ctid = ANY (ARRAY(
               SELECT d.ctid
                 FROM @schema@.job AS d
                WHERE NOT d.dead AND d.run_at <= pg_catalog.statement_timestamp()
                  AND ((d.claimed_by IS NULL AND NOT d.alone)
                       OR ($4::uuid[] IS NOT NULL AND d.claimed_by = $1::uuid AND NOT d.id = ANY ($4::uuid[])))
                ORDER BY d.priority DESC, d.run_at
                LIMIT $3::integer
                  FOR UPDATE SKIP LOCKED))
    RETURNING j.*
)
SELECT t.id, t.kind, t.workflow, t.version, t.instance, t.event, t.payload, t.input, t.key, t.alone, t.attempts,
       t.attempts_max
  FROM taken AS t
 ORDER BY t.priority DESC, t.run_at
