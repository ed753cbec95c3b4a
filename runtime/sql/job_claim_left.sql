-- One job that a process died with, or that ran out of its claim: it runs without neighbours, and
-- only a death alone costs an attempt. Only claimed jobs are looked at, which are few in a long queue.
WITH due AS MATERIALIZED (
    SELECT c.id
      FROM @schema@.job AS c
     WHERE NOT c.dead AND c.run_at <= pg_catalog.clock_timestamp() AND c.claimed_by IS NOT NULL
       AND (c.claimed_until < pg_catalog.clock_timestamp()
            OR NOT EXISTS (SELECT FROM @schema@.host AS h
                            WHERE h.process = c.claimed_by
                              AND h.beat_at > pg_catalog.clock_timestamp()
                                              - $3::bigint * interval '1 millisecond'))
     ORDER BY c.priority DESC, c.run_at
     LIMIT 1
       FOR UPDATE OF c SKIP LOCKED
)
UPDATE @schema@.job AS j
   SET claimed_by = $1::uuid,
       claimed_until = pg_catalog.clock_timestamp() + $2::bigint * interval '1 millisecond',
       alone = true,
       attempts = j.attempts + j.alone::integer,
       last_status = CASE WHEN j.alone THEN 'unknown' ELSE j.last_status END,
       last_error = CASE WHEN j.alone THEN 'its host died while it ran' ELSE j.last_error END
  FROM due
 WHERE j.id = due.id
RETURNING j.id, j.kind, j.workflow, j.version, j.instance, j.event, j.payload, j.input, j.key, j.alone,
          j.attempts, j.attempts_max
