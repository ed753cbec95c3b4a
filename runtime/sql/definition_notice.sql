SELECT pg_catalog.pg_notify('latchkey_definitions', $1::text || ' ' || $2::integer)
