WITH changed AS (
    UPDATE @schema@.instance AS i
       SET activity = v.activity, status = v.status, wait_for = v.wait_for, vars = v.vars, output = v.output,
           steps = v.steps, has_idled = i.has_idled OR v.status = 'idle', reason = NULL,
           process = CASE WHEN v.status <> 'idle' THEN $9::uuid END,
           state_version = i.state_version + 1, updated_at = pg_catalog.clock_timestamp()
      FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::jsonb[],
                  $8::integer[])
           AS v(id, state_version, activity, status, wait_for, vars, output, steps)
     WHERE i.id = v.id AND i.state_version = v.state_version
    RETURNING 1)
SELECT @schema@.expect(count(*), $10::bigint, 'the instance was changed by another host') FROM changed
