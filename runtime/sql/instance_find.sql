SELECT i.workflow, i.version, i.activity, i.status, i.wait_for, i.process, i.state_version, i.steps, i.has_idled,
       i.input, i.vars, i.output, i.key,
       EXISTS (SELECT FROM @schema@.host AS h
                WHERE h.process = i.process
                  AND h.beat_at > pg_catalog.clock_timestamp() - $2::bigint * interval '1 millisecond') AS lives
  FROM @schema@.instance AS i
 WHERE i.id = $1::uuid
