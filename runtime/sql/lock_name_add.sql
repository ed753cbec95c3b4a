-- $1: the process; the rest: one element each. Ages are in milliseconds, deadlines as the
-- transactions were told them: what they publish of it is made in batch_granted.sql. Prefixes that
-- members of a batch share come several times.
INSERT INTO @schema@.lock_name (process, state, key, path, exclusive, pid, until_ms, instance, workflow,
                                activity, since)
SELECT DISTINCT $1::uuid, v.state, v.key, v.path, v.exclusive, v.pid,
       (extract(epoch FROM v.deadline) * 1000)::bigint, v.instance, v.workflow, v.activity,
       pg_catalog.statement_timestamp() - v.age_ms * interval '1 millisecond'
  FROM unnest($2::text[], $3::bigint[], $4::text[], $5::boolean[], $6::integer[], $7::timestamptz[],
              $8::uuid[], $9::text[], $10::text[], $11::bigint[])
       AS v(state, key, path, exclusive, pid, deadline, instance, workflow, activity, age_ms)
