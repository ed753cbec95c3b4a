-- Before an UPDATE of several rows that is to lock them in the order in which they are given: of the
-- ways to join them, only the loop over what is given is left, which looks for each row where it stands.
-- Only where no trigger of the application's can run between here and the end.
SELECT pg_catalog.set_config('enable_seqscan', 'off', true) ||
       pg_catalog.set_config('enable_hashjoin', 'off', true) ||
       pg_catalog.set_config('enable_mergejoin', 'off', true) ||
       CASE pg_catalog.current_setting('enable_tidscan') WHEN 'on' THEN ''
            ELSE pg_catalog.set_config('enable_tidscan', 'on', true) END
