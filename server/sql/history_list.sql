-- The executions of an instance, the oldest first; and whether the instance has a row.
SELECT coalesce((SELECT pg_catalog.json_agg(l)
                   FROM (SELECT e.finished_at, e.workflow, e.version, e.activity, e.status, e.reason, e.paths, e.token,
                                e.waited_ms, e.held_ms, e.attempts, e.process
                           FROM @schema@.execution AS e
                          WHERE e.instance = $1::uuid
                          ORDER BY e.finished_at) AS l), '[]')::text,
       EXISTS (SELECT FROM @schema@.instance WHERE id = $1::uuid)
