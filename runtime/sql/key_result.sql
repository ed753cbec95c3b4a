WITH changed AS (
    UPDATE @schema@.idempotency_key AS k
       SET result = v.result
      FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::uuid[], $5::jsonb[])
           AS v(workflow, key, input, instance, result)
     WHERE k.workflow = v.workflow AND k.key = v.key AND k.instance = v.instance
    RETURNING 1)
SELECT @schema@.expect(count(*), $6::bigint, 'an idempotency key is not what it was') FROM changed
