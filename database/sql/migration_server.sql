-- What decides how migrations go here: a standby takes no writes; the schema and its table of
-- migrations may be there already.
SELECT pg_catalog.pg_is_in_recovery(),
       EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = @schema_literal@),
       EXISTS (SELECT FROM pg_catalog.pg_class c
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = @schema_literal@ AND c.relname = 'migration')
