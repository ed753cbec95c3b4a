-- Two hosts that start at once take turns. The key is this schema's alone.
SELECT pg_catalog.pg_advisory_xact_lock(
    pg_catalog.hashtextextended('latchkey migration of ' || @schema_literal@, 0))
