-- Before statements of the application's own, also those of its triggers: their plans are made as the
-- session wants it. batch_begin.sql asks for another way for latchkey's statements.
SELECT pg_catalog.set_config('plan_cache_mode', pg_catalog.current_setting('latchkey.plan_cache_mode'), true)
