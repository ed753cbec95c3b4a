-- Idempotency keys that are in use, and how it is with their instances: 'here' = its row says that
-- nobody runs it, and nothing will.
SELECT k.workflow, k.key, k.instance, k.input = v.input AS same_input, k.result,
       i.status IN ('failed', 'blocked')
           OR (i.status = 'running' AND NOT EXISTS (SELECT FROM @schema@.host AS h
                                                     WHERE h.process = i.process
                                                       AND h.beat_at > pg_catalog.clock_timestamp()
                                                           - $4::bigint * interval '1 millisecond')
               AND NOT EXISTS (SELECT FROM @schema@.job AS j WHERE j.instance = i.id AND NOT j.dead)) AS stopped,
       i.process IS NOT NULL AND i.status = 'running' AS has_process
  FROM unnest($1::text[], $2::text[], $3::jsonb[]) AS v(workflow, key, input)
  JOIN @schema@.idempotency_key AS k ON k.workflow = v.workflow AND k.key = v.key
  LEFT JOIN @schema@.instance AS i ON i.id = k.instance
