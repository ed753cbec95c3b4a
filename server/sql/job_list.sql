-- Background jobs, the oldest first. $1: only dead ones. $2: those that come after this one.
SELECT coalesce(pg_catalog.json_agg(l), '[]')::text
  FROM (SELECT j.id, j.kind, j.workflow, j.version, j.instance, j.event, j.key, j.priority, j.run_at, j.attempts,
               j.attempts_max, j.claimed_by, j.dead, j.last_status, j.last_error, j.created_at
          FROM @schema@.job AS j
         WHERE (NOT $1::boolean OR j.dead)
           AND ($2::uuid IS NULL OR j.id > $2::uuid)
         ORDER BY j.id
         LIMIT $3::integer) AS l
