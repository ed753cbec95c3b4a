INSERT INTO @schema@.idempotency_key (workflow, key, input, instance, result)
SELECT v.workflow, v.key, v.input, v.instance, v.result
  FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::uuid[], $5::jsonb[])
       AS v(workflow, key, input, instance, result)
