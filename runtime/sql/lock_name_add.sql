-- $1: the process; the rest: one element each. Ages are in milliseconds, deadlines as the
-- transactions were told them: what they publish of it is made in batch_granted.sql. Prefixes that
-- members of a batch share come several times.
-- Behind a pooler a host does not know which session waits for it: it is the one of its name that waits
-- for a lock of the execution, unless there are two.
WITH v AS (
    SELECT *
      FROM unnest($2::text[], $3::bigint[], $4::text[], $5::boolean[], $6::integer[], $7::timestamptz[],
                  $8::uuid[], $9::text[], $10::text[], $11::bigint[])
           AS u(state, key, path, exclusive, pid, deadline, instance, workflow, activity, age_ms)
)
INSERT INTO @schema@.lock_name (process, state, key, path, exclusive, pid, until_ms, instance, workflow,
                                activity, since)
SELECT DISTINCT $1::uuid, v.state, v.key, v.path, v.exclusive,
       CASE WHEN v.pid IS NULL AND v.state = 'waiting' THEN
           (SELECT pg_catalog.max(l.pid)
              FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
             WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND NOT l.granted
               AND a.datname = pg_catalog.current_database()
               AND pg_catalog.starts_with(a.application_name,
                                          'latchkey ' || pg_catalog.right($1::text, 8) || ' until ')
               AND ((l.classid::bigint << 32) | l.objid::bigint)
                   IN (SELECT w.key FROM v AS w WHERE w.instance = v.instance)
            HAVING pg_catalog.count(DISTINCT l.pid) = 1)
            ELSE v.pid END,
       (extract(epoch FROM v.deadline) * 1000)::bigint, v.instance, v.workflow, v.activity,
       pg_catalog.statement_timestamp() - v.age_ms * interval '1 millisecond'
  FROM v
