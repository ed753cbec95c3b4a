INSERT INTO @schema@.job (id, kind, workflow, version, instance, input, key, priority)
SELECT v.id, 'start', v.workflow, v.version, v.id, v.input, v.key, v.priority
  FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::jsonb[], $5::text[], $6::integer[])
       AS v(id, workflow, version, input, key, priority)
