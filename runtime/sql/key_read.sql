-- Idempotency keys that are in use, and how it is with their instances. $1: who asks; $5: whose beat
-- is older is dead. stopped: its row says that nobody runs it, and nothing will; abandoned: there is
-- no row, and no job that would make it.
SELECT v.asker, k.instance, k.input = v.input AS same_input, k.result,
       i.status IN ('failed', 'blocked')
           OR (i.status = 'running' AND NOT EXISTS (SELECT FROM @schema@.host AS h
                                                     WHERE h.process = i.process
                                                       AND h.beat_at > pg_catalog.clock_timestamp()
                                                           - $5::bigint * interval '1 millisecond')
               AND NOT EXISTS (SELECT FROM @schema@.job AS j WHERE j.instance = i.id AND NOT j.dead)) AS stopped,
       i.id IS NULL
           AND NOT EXISTS (SELECT FROM @schema@.job AS j WHERE j.instance = k.instance AND NOT j.dead) AS abandoned
  FROM unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[]) AS v(asker, workflow, key, input)
  JOIN @schema@.idempotency_key AS k ON k.workflow = v.workflow AND k.key = v.key
  LEFT JOIN @schema@.instance AS i ON i.id = k.instance
