-- The limits of a transaction before its locks are tried. $1: tag of the host; $2: milliseconds that
-- a silent client is borne; $3: milliseconds until the published deadline.
-- statement_timeout and transaction_timeout are off here: they would cut the wait for a lock. They are
-- set after the grant.
-- latchkey's statements find rows by their keys, whose arrays are parameters: planning them anew for
-- each batch costs more than running them, and gives the same plan. See plan_own.sql.
SELECT pg_catalog.set_config('statement_timeout', '0', true),
       pg_catalog.set_config('idle_in_transaction_session_timeout', $2::text, true),
       pg_catalog.set_config('client_connection_check_interval', '1000', true),
       pg_catalog.set_config('application_name', $1::text || ' until ' ||
           (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000 + $3::bigint)::bigint, true),
       pg_catalog.set_config('datestyle', 'ISO', true),
       pg_catalog.set_config('intervalstyle', 'postgres', true),
       pg_catalog.set_config('extra_float_digits', '1', true),
       pg_catalog.set_config('bytea_output', 'hex', true),
       pg_catalog.set_config('synchronous_commit',
           CASE pg_catalog.current_setting('synchronous_commit')
               WHEN 'off' THEN 'on' ELSE pg_catalog.current_setting('synchronous_commit') END, true),
       pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true),
       CASE WHEN pg_catalog.current_setting('server_version_num')::integer >= 170000
            THEN pg_catalog.set_config('transaction_timeout', '0', true) END,
       pg_catalog.current_setting('transaction_isolation')
