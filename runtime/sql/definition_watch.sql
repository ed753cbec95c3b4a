-- What a host compares with what it has: the latest version of each workflow, and how often hosts
-- were told to read it again.
SELECT d.workflow, pg_catalog.max(d.version), coalesce(pg_catalog.max(s.refreshes), 0)
  FROM @schema@.definition d LEFT JOIN @schema@.definition_state s ON s.workflow = d.workflow
 GROUP BY d.workflow
