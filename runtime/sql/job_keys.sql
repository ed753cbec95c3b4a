SELECT v.id, k.instance, k.input = v.input AS same_input, k.result
  FROM unnest($1::uuid[], $2::text[], $3::jsonb[], $4::text[]) AS v(id, workflow, input, key)
  JOIN @schema@.idempotency_key AS k ON k.workflow = v.workflow AND k.key = v.key
