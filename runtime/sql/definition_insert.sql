INSERT INTO @schema@.definition (workflow, version, source, checksum, published_by)
VALUES ($1::text, $2::integer, $3::text, $4::text, $5::text)
