-- The latest version of each workflow, without its text.
SELECT coalesce(pg_catalog.json_agg(l), '[]')::text
  FROM (SELECT DISTINCT ON (d.workflow) d.workflow, d.version, d.checksum, d.published_at, d.published_by
          FROM @schema@.definition AS d
         ORDER BY d.workflow, d.version DESC) AS l
