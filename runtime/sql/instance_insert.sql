INSERT INTO @schema@.instance (id, workflow, version, activity, status, input, output, process)
SELECT v.id, v.workflow, v.version, v.activity, v.status, v.input, v.output, $8::uuid
  FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[])
       AS v(id, workflow, version, activity, status, input, output)
