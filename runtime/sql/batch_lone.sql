-- One execution by itself: the limits of its transaction, the tries of its locks and its deadline in
-- one statement. Nothing here waits, so the limits of the time after the grant hold from the start.
-- $1: waiting timeout in milliseconds; $2: tag of the host; $3, $4: advisory keys in their order, and
-- whether each is exclusive. The first that is refused ends the tries; ROLLBACK gives back the rest.
-- The settings are those of batch_begin.sql, in one column, since each column costs both sides; the
-- deadline is by the database's clock.
SELECT d.deadline::text,
       NOT EXISTS (SELECT FROM unnest($3::bigint[], $4::boolean[]) AS v(key, exclusive)
                    WHERE NOT CASE WHEN v.exclusive THEN pg_catalog.pg_try_advisory_xact_lock(v.key)
                                   ELSE pg_catalog.pg_try_advisory_xact_lock_shared(v.key) END),
       pg_catalog.set_config('statement_timeout', $1::text, true) ||
       pg_catalog.set_config('idle_in_transaction_session_timeout', $1::text, true) ||
       pg_catalog.set_config('lock_timeout', $1::text, true) ||
       CASE WHEN pg_catalog.current_setting('server_version_num')::integer >= 170000
            THEN pg_catalog.set_config('transaction_timeout', $1::text, true) ELSE '' END ||
       pg_catalog.set_config('client_connection_check_interval', '1000', true) ||
       pg_catalog.set_config('application_name', $2::text || ' until ' ||
           (extract(epoch FROM d.deadline) * 1000)::bigint, true) ||
       pg_catalog.set_config('datestyle', 'ISO', true) ||
       pg_catalog.set_config('intervalstyle', 'postgres', true) ||
       pg_catalog.set_config('extra_float_digits', '1', true) ||
       pg_catalog.set_config('bytea_output', 'hex', true) ||
       pg_catalog.set_config('synchronous_commit',
           CASE pg_catalog.current_setting('synchronous_commit')
               WHEN 'off' THEN 'on' ELSE pg_catalog.current_setting('synchronous_commit') END, true) ||
       pg_catalog.set_config('latchkey.plan_cache_mode',
           pg_catalog.current_setting('plan_cache_mode'), true) ||
       pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true),
       pg_catalog.current_setting('transaction_isolation')
  FROM (SELECT pg_catalog.clock_timestamp() + $1::integer * interval '1 millisecond' AS deadline) d
