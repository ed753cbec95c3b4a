-- What all rows have in common comes once (pg_column.h).
INSERT INTO @schema@.instance (id, workflow, version, activity, status, wait_for, input, vars, output, steps,
                               has_idled, process, key)
SELECT v.id, coalesce(v.workflow, ($2::text[])[1]), coalesce(v.version, ($3::integer[])[1]),
       coalesce(v.activity, ($4::text[])[1]), s.status, v.wait_for, coalesce(v.input, ($7::jsonb[])[1]),
       v.vars, v.output, coalesce(v.steps, ($10::integer[])[1]), s.status = 'idle',
       CASE WHEN s.status <> 'idle' THEN $12::uuid END, v.key
  FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::jsonb[],
              $8::jsonb[], $9::jsonb[], $10::integer[], $11::text[])
       AS v(id, workflow, version, activity, status, wait_for, input, vars, output, steps, key),
       LATERAL (SELECT coalesce(v.status, ($5::text[])[1]) AS status) AS s
