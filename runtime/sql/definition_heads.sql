-- The latest version of each workflow, without its text, and the file it was last found in.
SELECT DISTINCT ON (d.workflow) d.workflow, d.version, d.checksum, s.file
  FROM @schema@.definition d LEFT JOIN @schema@.definition_state s ON s.workflow = d.workflow
 ORDER BY d.workflow, d.version DESC
