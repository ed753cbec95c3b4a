-- Before a script's own SQL: its text was checked by this rule of quoting. It is planned as the session
-- wants it (see plan_own.sql).
SELECT pg_catalog.set_config('standard_conforming_strings', 'on', true),
       pg_catalog.set_config('plan_cache_mode', NULL, true),
       pg_catalog.set_config('enable_seqscan', NULL, true),
       pg_catalog.set_config('enable_hashjoin', NULL, true),
       pg_catalog.set_config('enable_mergejoin', NULL, true)
