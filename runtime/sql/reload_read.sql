SELECT coalesce(pg_catalog.max(asked), 0), coalesce(pg_catalog.max(done), 0) FROM @schema@.reload
