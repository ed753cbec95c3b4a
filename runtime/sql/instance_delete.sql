WITH gone AS (
    DELETE FROM @schema@.instance AS i
     USING unnest($1::uuid[], $2::bigint[]) AS v(id, state_version)
     WHERE i.id = v.id AND i.state_version = v.state_version
    RETURNING 1)
SELECT @schema@.expect(count(*), $3::bigint, 'the instance was changed by another host') FROM gone
