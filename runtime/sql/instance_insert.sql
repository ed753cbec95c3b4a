INSERT INTO @schema@.instance (id, workflow, version, activity, status, wait_for, input, vars, output, steps,
                               has_idled, process, key)
SELECT v.id, v.workflow, v.version, v.activity, v.status, v.wait_for, v.input, v.vars, v.output, v.steps,
       v.status = 'idle', CASE WHEN v.status <> 'idle' THEN $12::uuid END, v.key
  FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::jsonb[],
              $8::jsonb[], $9::jsonb[], $10::integer[], $11::text[])
       AS v(id, workflow, version, activity, status, wait_for, input, vars, output, steps, key)
