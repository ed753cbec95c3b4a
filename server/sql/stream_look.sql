-- What streams tell: the locks, and the newest instances that have not ended. A word to the hosts that
-- somebody looks lets them tell the names of what they hold.
WITH asked AS (
    INSERT INTO @schema@.lock_ask (until) VALUES (pg_catalog.clock_timestamp() + interval '5 seconds')
    ON CONFLICT (one) DO UPDATE SET until = excluded.until
     WHERE lock_ask.until < excluded.until - interval '2 seconds'
)
SELECT (SELECT coalesce(pg_catalog.json_agg(l ORDER BY l.path COLLATE "C", l.granted DESC, l.mode, l.since), '[]')
          FROM @schema@.locks AS l)::text,
       (SELECT coalesce(pg_catalog.json_agg(i), '[]')
          FROM (SELECT i.id, i.workflow, i.version, i.activity, i.status, i.wait_for, i.reason, i.steps,
                       i.state_version, i.key, i.process, i.created_at, i.updated_at
                  FROM @schema@.instance AS i WHERE i.status <> 'completed'
                 ORDER BY i.id DESC LIMIT 100) AS i)::text
