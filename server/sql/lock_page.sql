-- A page of the locks as JSON, and a word to the hosts that somebody looks: within a second or so they
-- tell the names of all that they hold. Path by path, holders first, then those of longest standing. Each
-- row has an id, its place among those of its path and the path. $1, $2: those that come after this place
-- and path. $3: so many.
WITH asked AS (
    INSERT INTO @schema@.lock_ask (until) VALUES (pg_catalog.clock_timestamp() + interval '5 seconds')
    ON CONFLICT (one) DO UPDATE SET until = excluded.until
     WHERE lock_ask.until < excluded.until - interval '2 seconds'
), standing AS (
    SELECT l.*, concat(CASE WHEN l.granted THEN 0 ELSE 1 END, substr(l.mode, 1, 1),
                       lpad(coalesce((extract(epoch FROM l.since) * 1000000)::bigint, 99999999999999999)::text,
                            17, '0'), '-',
                       substr(md5(concat_ws(' ', l.host, l.instance, l.workflow, l.activity)), 1, 8)) AS standing
      FROM @schema@.locks AS l
), placed AS (
    SELECT s.*, s.standing || lpad(to_hex(least(row_number() OVER (PARTITION BY s.path, s.standing), 65535)),
                                   4, '0') AS place
      FROM standing AS s
)
SELECT coalesce(pg_catalog.json_agg(p), '[]')::text
  FROM (SELECT l.place || '-' || l.path AS id, l.path, l.mode, l.granted, l.host, l.workflow, l.activity,
               l.instance, l.since, l.waiting_ms, l.blocked_by
          FROM placed AS l
         WHERE $1::text IS NULL OR l.path COLLATE "C" > $2::text
            OR (l.path = $2::text AND l.place COLLATE "C" > $1::text)
         ORDER BY l.path COLLATE "C", l.place COLLATE "C"
         LIMIT $3::integer) AS p
