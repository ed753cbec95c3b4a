-- One job that a process once died with and that is to be tried again: without neighbours, as before.
-- No index has these: the queue is looked through.
WITH due AS MATERIALIZED (
    SELECT id
      FROM @schema@.job
     WHERE NOT dead AND run_at <= pg_catalog.statement_timestamp() AND claimed_by IS NULL AND alone
     ORDER BY priority DESC, run_at
     LIMIT 1
       FOR UPDATE SKIP LOCKED
)
UPDATE @schema@.job AS j
   SET claimed_by = $1::uuid,
       claimed_until = pg_catalog.clock_timestamp() + $2::bigint * interval '1 millisecond'
  FROM due
 WHERE j.id = due.id
RETURNING j.id, j.kind, j.workflow, j.version, j.instance, j.event, j.payload, j.input, j.key, j.alone,
          j.attempts, j.attempts_max
