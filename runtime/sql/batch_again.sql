-- After a script's own SQL: what the transaction relies on beside its limits, as batch_begin.sql set it.
SELECT pg_catalog.set_config('datestyle', 'ISO', true),
       pg_catalog.set_config('intervalstyle', 'postgres', true),
       pg_catalog.set_config('extra_float_digits', '1', true),
       pg_catalog.set_config('bytea_output', 'hex', true),
       pg_catalog.set_config('client_encoding', 'UTF8', true),
       pg_catalog.set_config('synchronous_commit',
           CASE pg_catalog.current_setting('synchronous_commit')
               WHEN 'off' THEN 'on' ELSE pg_catalog.current_setting('synchronous_commit') END, true)
