-- The limits of a transaction that changes definitions, before its locks. $1: milliseconds that a
-- silent client is borne. statement_timeout and transaction_timeout are off here: they would cut the
-- wait for a lock.
SELECT pg_catalog.set_config('statement_timeout', '0', true),
       CASE WHEN pg_catalog.current_setting('server_version_num')::integer >= 170000
            THEN pg_catalog.set_config('transaction_timeout', '0', true) END,
       pg_catalog.set_config('idle_in_transaction_session_timeout', $1::text, true),
       pg_catalog.set_config('client_connection_check_interval', '1000', true),
       pg_catalog.set_config('synchronous_commit',
           CASE pg_catalog.current_setting('synchronous_commit')
               WHEN 'off' THEN 'on' ELSE pg_catalog.current_setting('synchronous_commit') END, true)
