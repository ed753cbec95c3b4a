-- paths come as one text each, the paths joined by a line feed, which no path holds.
INSERT INTO @schema@.execution (instance, workflow, version, activity, status, reason, paths, waited_ms,
                                held_ms, attempts, token, process)
SELECT v.instance, v.workflow, v.version, v.activity, v.status, v.reason,
       coalesce(pg_catalog.string_to_array(nullif(v.paths, ''), E'\n'), '{}'), v.waited_ms, v.held_ms,
       v.attempts, v.token, $12::uuid
  FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[],
              $8::real[], $9::real[], $10::integer[], $11::bigint[])
       AS v(instance, workflow, version, activity, status, reason, paths, waited_ms, held_ms, attempts,
            token)
