-- With an idempotency key the job is made only by the first who brings it: job_keys.sql tells.
WITH v AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::jsonb[], $5::text[], $6::integer[])
                  AS v(id, workflow, version, input, key, priority)
), bound AS (
    INSERT INTO @schema@.idempotency_key (workflow, key, input, instance)
    SELECT v.workflow, v.key, v.input, v.id FROM v WHERE v.key IS NOT NULL ORDER BY v.workflow, v.key
    ON CONFLICT DO NOTHING
    RETURNING instance
)
INSERT INTO @schema@.job (id, kind, workflow, version, instance, input, key, priority)
SELECT v.id, 'start', v.workflow, v.version, v.id, v.input, v.key, v.priority
  FROM v
 WHERE v.key IS NULL OR v.id IN (SELECT instance FROM bound)
