-- One version of a workflow, or with 0 the latest.
SELECT version, source, checksum FROM @schema@.definition
 WHERE workflow = $1::text AND ($2::integer = 0 OR version = $2::integer)
 ORDER BY version DESC LIMIT 1
