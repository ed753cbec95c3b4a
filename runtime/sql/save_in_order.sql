-- Before an UPDATE of several rows that is to lock them in the order in which they are given: of the
-- ways to join them, only the loop over what is given, which looks up one row after the other, is left.
SELECT pg_catalog.set_config('enable_seqscan', 'off', true) ||
       pg_catalog.set_config('enable_hashjoin', 'off', true) ||
       pg_catalog.set_config('enable_mergejoin', 'off', true)
