-- What a host may have to tell about. $1: its process. The lock table is read only if some session
-- waits for an advisory lock, or may: of other roles' sessions nothing is shown.
SELECT EXISTS (SELECT FROM @schema@.lock_ask WHERE until > pg_catalog.clock_timestamp()) AS asked,
       EXISTS (SELECT FROM @schema@.lock_name
                WHERE seen_at < pg_catalog.clock_timestamp() - interval '1 minute') AS stale,
       ARRAY(SELECT (l.classid::bigint << 32) | l.objid::bigint
               FROM pg_catalog.pg_locks l
              WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND NOT l.granted
                AND l.database = (SELECT oid FROM pg_catalog.pg_database
                                   WHERE datname = pg_catalog.current_database())
                AND EXISTS (SELECT FROM pg_catalog.pg_stat_activity
                             WHERE datname = pg_catalog.current_database()
                               AND (wait_event = 'advisory' OR query = '<insufficient privilege>'))
             UNION
             SELECT n.key FROM @schema@.lock_name n
              WHERE n.state <> 'held' AND n.process <> $1::uuid
              LIMIT 10000) AS keys
