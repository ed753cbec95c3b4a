-- Before claims: their plans are made once. Then they must also do for a queue that has grown meanwhile,
-- so what looks through all of it is no choice, and nothing is compiled for it.
SELECT pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true) ||
       pg_catalog.set_config('enable_seqscan', 'off', true) ||
       pg_catalog.set_config('enable_bitmapscan', 'off', true) ||
       pg_catalog.set_config('jit', 'off', true)
