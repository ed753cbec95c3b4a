-- batch_open.sql for an execution by itself: few locks, all or none, and no arrays. $1: waiting timeout
-- in milliseconds; $2: tag of the host; $3 to $5: advisory keys to try shared, $6: exclusive, NULL = no
-- more; $7: milliseconds to wait for a row. Gives whether all were granted; a try with NULL is none.
SELECT pg_catalog.to_char(d.deadline AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'),
       pg_catalog.pg_try_advisory_xact_lock_shared($3::bigint) IS NOT FALSE
           AND pg_catalog.pg_try_advisory_xact_lock_shared($4::bigint) IS NOT FALSE
           AND pg_catalog.pg_try_advisory_xact_lock_shared($5::bigint) IS NOT FALSE
           AND pg_catalog.pg_try_advisory_xact_lock($6::bigint) IS NOT FALSE,
       pg_catalog.num_nonnulls(
           pg_catalog.set_config('statement_timeout', $1::text, true),
           pg_catalog.set_config('idle_in_transaction_session_timeout', $1::text, true),
           pg_catalog.set_config('lock_timeout', $7::text, true),
           CASE WHEN pg_catalog.current_setting('server_version_num')::integer >= 170000
                THEN pg_catalog.set_config('transaction_timeout',
                    CASE pg_catalog.set_config('transaction_timeout', '0', true)
                    WHEN '0' THEN $1::text END, true) END,
           pg_catalog.set_config('application_name', $2::text || ' until ' ||
               (extract(epoch FROM d.deadline) * 1000)::bigint, true),
           pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true),
           CASE WHEN pg_catalog.starts_with(pg_catalog.current_setting('datestyle'), 'ISO')
                 AND pg_catalog.current_setting('intervalstyle') = 'postgres'
                 AND pg_catalog.current_setting('extra_float_digits') = '1'
                 AND pg_catalog.current_setting('bytea_output') = 'hex'
                 AND pg_catalog.current_setting('client_connection_check_interval') = '1s'
                 AND pg_catalog.current_setting('synchronous_commit') <> 'off'
                THEN NULL ELSE @schema@.settle() END),
       pg_catalog.current_setting('transaction_isolation')
  FROM (SELECT pg_catalog.clock_timestamp() + $1::integer * interval '1 millisecond' AS deadline) AS d
