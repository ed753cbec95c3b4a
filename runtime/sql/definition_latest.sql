SELECT version, checksum, source FROM @schema@.definition
 WHERE workflow = $1::text ORDER BY version DESC LIMIT 1
