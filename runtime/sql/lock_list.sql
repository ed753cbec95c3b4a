-- The locks as JSON, and a word to the hosts that somebody looks: within a second or so they tell the
-- names of all that they hold.
WITH asked AS (
    INSERT INTO @schema@.lock_ask (until) VALUES (pg_catalog.clock_timestamp() + interval '5 seconds')
    ON CONFLICT (one) DO UPDATE SET until = excluded.until
     WHERE lock_ask.until < excluded.until - interval '2 seconds'
)
SELECT coalesce(pg_catalog.json_agg(l ORDER BY l.path COLLATE "C", l.granted DESC, l.mode, l.since), '[]')::text
  FROM @schema@.locks l
