-- How many background jobs there are, for figures: those that could run now, those for later, those that
-- a host has, dead ones; and for how many seconds the first has been due. A long queue is not counted to
-- its end.
SELECT count(*) FILTER (WHERE l.free AND l.run_at <= l.now) AS due,
       count(*) FILTER (WHERE l.free AND l.run_at > l.now) AS later,
       count(*) FILTER (WHERE NOT l.free) AS claimed,
       (SELECT count(*) FROM (SELECT 1 FROM @schema@.job AS d WHERE d.dead LIMIT 100000) AS d) AS dead,
       coalesce(extract(epoch FROM max(l.now - l.run_at) FILTER (WHERE l.free AND l.run_at <= l.now)), 0)
           AS oldest_due
  FROM (SELECT j.run_at, n.now, (j.claimed_by IS NULL OR j.claimed_until <= n.now) AS free
          FROM @schema@.job AS j, pg_catalog.clock_timestamp() AS n(now)
         WHERE NOT j.dead
         LIMIT 100000) AS l
