-- The latest version of some workflows, or with NULL of all, with its text.
SELECT DISTINCT ON (workflow) workflow, version, checksum, source
  FROM @schema@.definition
 WHERE $1::text[] IS NULL OR workflow = ANY ($1::text[])
 ORDER BY workflow, version DESC
