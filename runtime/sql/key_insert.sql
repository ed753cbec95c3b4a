-- Who queues the same key meanwhile takes no lock: then it is run again, and finds the key bound. In
-- the order of the keys, as job_insert.sql.
WITH made AS (
    INSERT INTO @schema@.idempotency_key (workflow, key, input, instance, result)
    SELECT v.workflow, v.key, v.input, v.instance, v.result
      FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::uuid[], $5::jsonb[])
           AS v(workflow, key, input, instance, result)
     ORDER BY v.workflow, v.key
    ON CONFLICT DO NOTHING
    RETURNING 1)
SELECT @schema@.expect(count(*), $6::bigint, 'the idempotency key was used meanwhile') FROM made
