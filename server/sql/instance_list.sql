-- Instances, the newest first; all conditions may be absent. $3: completed ones too. $4: those that
-- come after this one in the list.
SELECT coalesce(pg_catalog.json_agg(l), '[]')::text
  FROM (SELECT i.id, i.workflow, i.version, i.activity, i.status, i.wait_for, i.reason, i.steps, i.state_version,
               i.key, i.process, i.created_at, i.updated_at
          FROM @schema@.instance AS i
         WHERE ($1::text IS NULL OR i.workflow = $1::text)
           AND ($2::text IS NULL OR i.status = $2::text)
           AND ($3::boolean OR i.status <> 'completed')
           AND ($4::uuid IS NULL OR i.id < $4::uuid)
         ORDER BY i.id DESC
         LIMIT $5::integer) AS l
