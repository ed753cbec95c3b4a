-- Ends the session $1 if its transaction is still the one that holds the key $2 (its deadline is
-- $3, if it publishes one) and does not wait for a standby: ended then, it would have committed.
SELECT CASE WHEN a.wait_event = 'SyncRep' THEN 'standby'
            WHEN pg_catalog.pg_terminate_backend(a.pid) THEN 'ended'
            ELSE 'gone' END
  FROM pg_catalog.pg_stat_activity a
 WHERE a.pid = $1::integer
   AND pg_catalog.substring(a.application_name, '^latchkey [0-9a-f]{8} until ([0-9]{1,15})$')::bigint
       IS NOT DISTINCT FROM $3::bigint
   AND EXISTS (SELECT FROM pg_catalog.pg_locks l
                WHERE l.pid = $1::integer AND l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
                  AND l.mode = 'ExclusiveLock' AND (l.classid::bigint << 32) | l.objid::bigint = $2::bigint)
