-- Who holds a lock that keeps these paths from being taken: for each of them, the rows of the locks.
SELECT coalesce(pg_catalog.json_agg(l), '[]')::text
  FROM (SELECT w.path AS wanted, h.path, h.mode, h.host, h.workflow, h.activity, h.instance, h.since
          FROM unnest($1::text[]) AS w(path)
          JOIN @schema@.locks AS h ON h.granted AND h.mode <> 'shared' AND @schema@.lock_paths_conflict(h.path, w.path)
         ORDER BY w.path COLLATE "C", h.path COLLATE "C") AS l
