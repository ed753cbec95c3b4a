-- paths come as one text each, the paths joined by a line feed, which no path holds. What all rows have
-- in common comes once (pg_column.h).
INSERT INTO @schema@.execution (instance, workflow, version, activity, status, reason, paths, waited_ms,
                                held_ms, attempts, token, process)
SELECT v.instance, coalesce(v.workflow, ($2::text[])[1]), coalesce(v.version, ($3::integer[])[1]),
       coalesce(v.activity, ($4::text[])[1]), coalesce(v.status, ($5::text[])[1]), v.reason,
       CASE WHEN p.paths = '' THEN '{}'
            WHEN pg_catalog.strpos(p.paths, E'\n') = 0 THEN ARRAY[p.paths]
            ELSE pg_catalog.string_to_array(p.paths, E'\n') END,
       v.waited_ms, v.held_ms, coalesce(v.attempts, ($10::integer[])[1]), v.token, $12::uuid
  FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[],
              $8::real[], $9::real[], $10::integer[], $11::bigint[])
       AS v(instance, workflow, version, activity, status, reason, paths, waited_ms, held_ms, attempts,
            token),
       LATERAL (SELECT coalesce(v.paths, ($7::text[])[1]) AS paths) AS p
