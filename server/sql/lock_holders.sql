-- Who holds a lock that keeps these paths from being taken. A lock whose path no host has told is known
-- by its key alone: that of a wanted path, or of an ancestor of it.
WITH wanted AS (
    SELECT w.path, array_agg(DISTINCT @schema@.lock_key(array_to_string(w.segments[1:n], '/'))) AS keys
      FROM (SELECT DISTINCT path, string_to_array(path, '/') AS segments FROM unnest($1::text[]) AS p(path)) AS w,
           generate_series(1, cardinality(w.segments)) AS n
     GROUP BY w.path
)
SELECT coalesce(pg_catalog.json_agg(l), '[]')::text
  FROM (SELECT w.path AS wanted, h.path, h.mode, h.host, h.workflow, h.activity, h.instance, h.since
          FROM wanted AS w
          JOIN @schema@.locks AS h
            ON h.granted AND h.mode <> 'shared'
           AND CASE WHEN h.path COLLATE "C" ~ '^\*[0-9a-f]{16}$' THEN @schema@.lock_shown_key(h.path) = ANY (w.keys)
                    ELSE @schema@.lock_paths_conflict(h.path, w.path) END
         ORDER BY w.path COLLATE "C", h.path COLLATE "C") AS l
