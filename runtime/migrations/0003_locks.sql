-- Who holds, who waits. pg_locks tells it by keys, which are hashes; what is here makes paths and
-- executions of them, and lets an operator break a lock.

-- What hosts tell about their locks while somebody waits for them or asks: renewed about once a
-- second, gone with the wait. It is worth nothing after a crash, and so not logged.
CREATE UNLOGGED TABLE @schema@.lock_name (
    process   uuid             NOT NULL,
    state     text             NOT NULL CHECK (state IN ('held', 'waiting', 'queued')),
    key       bigint           NOT NULL,
    path      text COLLATE "C" NOT NULL,
    exclusive boolean          NOT NULL,
    pid       integer,          -- waiting: the session that does
    until_ms  bigint,           -- held: the deadline that the transaction publishes
    instance  uuid,             -- none of a prefix that several executions share
    workflow  text,
    activity  text,
    since     timestamptz      NOT NULL, -- the grant; before it the submission
    seen_at   timestamptz      NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX lock_name_by_process ON @schema@.lock_name (process);

-- One row: until then, hosts tell about all of their locks.
CREATE UNLOGGED TABLE @schema@.lock_ask (
    one   boolean     PRIMARY KEY DEFAULT true CHECK (one),
    until timestamptz NOT NULL
);

-- Locks that operators have broken. A host that loses a transaction finds here whether that was it.
CREATE TABLE @schema@.lock_break (
    id       bigint           PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    path     text COLLATE "C" NOT NULL,
    key      bigint           NOT NULL,
    by       text             NOT NULL,
    role     text             NOT NULL DEFAULT current_user,
    at       timestamptz      NOT NULL DEFAULT clock_timestamp(),
    met      jsonb            NOT NULL, -- the rows of @schema@.locks that showed the holder
    pid      integer,                   -- its session; NULL: only a lease
    tag      text,                      -- of its host
    until_ms bigint,                    -- tells its transaction from others of the session
    tokens   bigint[]         NOT NULL  -- of the leases that were deleted
);
CREATE INDEX lock_break_by_transaction ON @schema@.lock_break (tag, until_ms);


-- A key without a known path is shown as "*" and sixteen hexadecimal digits, which no path is.
CREATE FUNCTION @schema@.lock_shown(key bigint) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN '*' || lpad(to_hex(key), 16, '0');

-- The key of a path, or of what stands for one.
CREATE FUNCTION @schema@.lock_shown_key(shown text) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN shown COLLATE "C" ~ '^\*[0-9a-f]{16}$'
            THEN ('x' || substr(shown, 2))::bit(64)::bigint ELSE @schema@.lock_key(shown) END;

CREATE FUNCTION @schema@.lock_paths_conflict(a text, b text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN a = b OR starts_with(a, b || '/') OR starts_with(b, a || '/')
    OR (a = '*' AND NOT starts_with(b, '$')) OR (b = '*' AND NOT starts_with(a, '$'));


CREATE VIEW @schema@.locks AS
WITH entry AS MATERIALIZED (
    SELECT (l.classid::bigint << 32) | l.objid::bigint AS key, l.mode = 'ExclusiveLock' AS exclusive,
           l.granted, l.pid, l.waitstart, a.xact_start, a.application_name,
           substring(a.application_name, '^latchkey ([0-9a-f]{8})( |$)') AS tag,
           substring(a.application_name, '^latchkey [0-9a-f]{8} until ([0-9]{1,15})$')::bigint AS until_ms
      FROM pg_locks AS l
      LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
     WHERE l.locktype = 'advisory' AND l.objsubid = 1
       AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
), known AS MATERIALIZED (
    SELECT @schema@.lock_key(p.path) AS key, p.path
      FROM (VALUES ('*'), ('$definitions')) AS p(path)
    UNION
    SELECT @schema@.lock_key('$definitions/' || d.workflow), '$definitions/' || d.workflow
      FROM (SELECT DISTINCT workflow FROM @schema@.definition) AS d
    UNION
    SELECT n.key, n.path FROM @schema@.lock_name AS n
), told AS MATERIALIZED (
    SELECT right(n.process::text, 8) AS tag, n.*
      FROM @schema@.lock_name AS n
     WHERE n.seen_at > clock_timestamp() - interval '15 seconds'
), process AS MATERIALIZED (
    SELECT DISTINCT ON (right(h.process::text, 8)) right(h.process::text, 8) AS tag,
           h.name || ':' || h.pid AS host
      FROM @schema@.host AS h ORDER BY 1, h.beat_at DESC
-- Other programs' advisory locks are none of ours. A session is ours by its name; a stranger's by
-- a key that is.
), ours AS MATERIALIZED (
    SELECT e.*, coalesce(k.path, @schema@.lock_shown(e.key)) AS path, k.path IS NOT NULL AS is_known,
           coalesce(p.host, CASE WHEN e.tag IS NOT NULL THEN e.application_name
                                 ELSE concat_ws(' ', nullif(e.application_name, ''), 'backend', e.pid)
                            END) AS host
      FROM entry AS e
      LEFT JOIN known AS k ON k.key = e.key
      LEFT JOIN process AS p ON p.tag = e.tag
     WHERE e.tag IS NOT NULL
        OR EXISTS (SELECT FROM entry AS o JOIN known AS ok ON ok.key = o.key WHERE o.pid = e.pid)
        OR (e.pid IS NULL AND k.path IS NOT NULL)
), holder AS MATERIALIZED (
    SELECT o.path FROM ours AS o WHERE o.granted AND o.exclusive
    UNION
    SELECT l.path FROM @schema@.lease AS l
)
SELECT o.path, CASE WHEN o.exclusive THEN 'exclusive' ELSE 'shared' END AS mode, o.granted, o.host,
       t.workflow, t.activity, t.instance,
       coalesce(t.since, CASE WHEN o.granted THEN o.xact_start ELSE o.waitstart END) AS since,
       CASE WHEN NOT o.granted
            THEN round(extract(epoch FROM clock_timestamp() - coalesce(t.since, o.waitstart)) * 1000)
            END::bigint AS waiting_ms,
       CASE WHEN o.granted THEN '{}' ELSE ARRAY(
           SELECT DISTINCT b.path FROM ours AS b
            WHERE b.pid = ANY (pg_blocking_pids(o.pid)) AND b.exclusive
              AND (NOT b.is_known OR NOT o.is_known OR @schema@.lock_paths_conflict(b.path, o.path))
            ORDER BY b.path)
            END AS blocked_by
  FROM ours AS o
  LEFT JOIN told AS t
    ON t.tag = o.tag AND t.key = o.key AND t.exclusive = o.exclusive
   AND ((t.state = 'held' AND t.until_ms = o.until_ms)
        OR (t.state = 'waiting' AND t.pid = o.pid
            AND EXISTS (SELECT FROM ours AS w WHERE w.pid = o.pid AND NOT w.granted)))
UNION ALL
SELECT l.path, 'lease', true, coalesce(p.host, 'latchkey ' || right(l.process::text, 8)), l.workflow,
       l.activity, l.instance, l.taken_at, NULL, '{}'
  FROM @schema@.lease AS l
  LEFT JOIN process AS p ON p.tag = right(l.process::text, 8)
UNION ALL
SELECT t.path, 'queued', false, coalesce(p.host, 'latchkey ' || t.tag), t.workflow, t.activity,
       t.instance, t.since,
       round(extract(epoch FROM clock_timestamp() - t.since) * 1000)::bigint,
       ARRAY(SELECT h.path FROM holder AS h WHERE @schema@.lock_paths_conflict(h.path, t.path)
              ORDER BY h.path)
  FROM told AS t
  LEFT JOIN process AS p ON p.tag = t.tag
 WHERE t.state = 'queued' AND t.exclusive;

COMMENT ON VIEW @schema@.locks IS
    'Who holds lock paths and who waits for them, over all hosts. A path that no host has told yet is '
    'shown as "*" and its key in hexadecimal.';
