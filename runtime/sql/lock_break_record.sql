-- Records that a lock is broken, and breaks it if it is a lease. $1: the path; $2: who does it.
-- Committed before its holder is ended, so that the holder's host finds it. One row: what holds the
-- path (at most one session, since it is held exclusively), and whether that may be ended.
WITH wanted AS (
    SELECT $1::text AS path, @schema@.lock_shown_key($1::text) AS key
), met AS (
    SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(l) - 'waiting_ms' - 'blocked_by') AS rows
      FROM @schema@.locks l JOIN wanted w ON l.path IN (w.path, @schema@.lock_shown(w.key))
     WHERE l.granted AND l.mode <> 'shared'
), holder AS MATERIALIZED (
    SELECT l.pid, a.application_name, a.wait_event, a.state IS NULL AS hidden,
           pg_catalog.substring(a.application_name, '^latchkey ([0-9a-f]{8})( |$)') AS tag,
           pg_catalog.substring(a.application_name, '^latchkey [0-9a-f]{8} until ([0-9]{1,15})$')::bigint
               AS until_ms
      FROM pg_catalog.pg_locks l
      JOIN wanted w ON (l.classid::bigint << 32) | l.objid::bigint = w.key
      JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.mode = 'ExclusiveLock'
       AND l.database = (SELECT oid FROM pg_catalog.pg_database
                          WHERE datname = pg_catalog.current_database())
), lease AS (
    DELETE FROM @schema@.lease
     WHERE path IN (SELECT path FROM @schema@.lease
                     WHERE token IN (SELECT o.token FROM @schema@.lease o JOIN wanted w ON o.path = w.path)
                     ORDER BY path FOR UPDATE SKIP LOCKED)
    RETURNING token
), recorded AS (
    INSERT INTO @schema@.lock_break (path, key, by, met, pid, tag, until_ms, tokens)
    SELECT w.path, w.key, $2::text, coalesce(m.rows, '[]'), h.pid, h.tag, h.until_ms,
           ARRAY(SELECT DISTINCT token FROM lease)
      FROM wanted w CROSS JOIN met m
      LEFT JOIN holder h ON h.wait_event IS DISTINCT FROM 'SyncRep' AND NOT h.hidden
     WHERE h.pid IS NOT NULL OR EXISTS (SELECT FROM lease)
    RETURNING id
)
SELECT h.pid, w.key, h.until_ms, h.wait_event IS NOT DISTINCT FROM 'SyncRep' AS spared,
       coalesce(h.hidden, false) AS hidden, (SELECT count(*) FROM lease) AS n_leases,
       coalesce(m.rows, '[]')::text AS met, (SELECT max(id) FROM recorded) AS recorded
  FROM wanted w CROSS JOIN met m LEFT JOIN holder h ON true
