-- One instance: its row; else, for one that is left to the background, its job; else what the history
-- knows of one that kept no row. No row: there is no such instance.
SELECT (pg_catalog.to_jsonb(l) - 'rank')::text
  FROM (SELECT 1 AS rank, i.id, i.workflow, i.version, i.activity, i.status, i.wait_for, i.reason, i.steps,
               i.state_version, i.key, i.process, i.input, i.vars, i.output, i.created_at, i.updated_at
          FROM @schema@.instance AS i WHERE i.id = $1::uuid
        UNION ALL
        SELECT 2, j.instance, j.workflow, j.version, NULL, CASE WHEN j.dead THEN 'failed' ELSE 'queued' END, NULL,
               j.last_error, 0, 0, j.key, j.claimed_by, j.input, NULL, NULL, j.created_at, j.created_at
          FROM @schema@.job AS j WHERE j.instance = $1::uuid AND j.kind = 'start'
        UNION ALL
        (SELECT 3, e.instance, e.workflow, e.version, e.activity, e.status, NULL, e.reason, NULL, NULL, NULL,
                e.process, NULL, NULL, NULL, e.finished_at, e.finished_at
           FROM @schema@.execution AS e WHERE e.instance = $1::uuid ORDER BY e.finished_at DESC LIMIT 1)
         ORDER BY 1 LIMIT 1) AS l
