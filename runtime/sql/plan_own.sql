-- Before statements of the application's own, also those of its triggers: their plans are made as the
-- session wants it (NULL: its default). batch_open.sql, batch_begin.sql and save_in_order.sql ask for
-- another way for latchkey's statements.
SELECT pg_catalog.set_config('plan_cache_mode', NULL, true),
       pg_catalog.set_config('enable_seqscan', NULL, true),
       pg_catalog.set_config('enable_hashjoin', NULL, true),
       pg_catalog.set_config('enable_mergejoin', NULL, true)
