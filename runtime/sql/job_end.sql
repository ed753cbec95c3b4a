-- What became of jobs that kept nothing: 'back' was not begun and is as it was before the claim, 'again'
-- costs no attempt, 'failed' does, and after the last the job is dead; 'ended' is over, and the
-- idempotency key of an instance that never was is free again.
WITH v AS (
    SELECT * FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) AS v(id, fate, status, error)
), ended AS (
    DELETE FROM @schema@.job AS j USING v
     WHERE j.id = v.id AND j.claimed_by = $1::uuid AND v.fate = 'ended'
    RETURNING j.kind, j.workflow, j.key, j.instance
), unbound AS (
    DELETE FROM @schema@.idempotency_key AS k USING ended AS e
     WHERE e.kind = 'start' AND k.workflow = e.workflow AND k.key = e.key AND k.instance = e.instance
       AND k.result IS NULL AND NOT EXISTS (SELECT FROM @schema@.instance AS i WHERE i.id = e.instance)
)
UPDATE @schema@.job AS j
   SET claimed_by = NULL, claimed_until = NULL,
       last_status = CASE WHEN v.fate = 'back' THEN j.last_status ELSE v.status END,
       last_error = CASE WHEN v.fate = 'back' THEN j.last_error ELSE v.error END,
       attempts = j.attempts + (v.fate = 'failed')::integer,
       dead = v.fate = 'failed' AND j.attempts + 1 >= j.attempts_max,
       run_at = CASE WHEN v.fate = 'back' THEN j.run_at
                     ELSE pg_catalog.clock_timestamp()
                          + (0.75 + pg_catalog.random() / 2)
                            * CASE WHEN v.fate = 'failed'
                                   THEN interval '1 second' * power(2, least(j.attempts, 12))
                                   ELSE interval '500 milliseconds' END END
  FROM v
 WHERE j.id = v.id AND j.claimed_by = $1::uuid AND v.fate <> 'ended'
