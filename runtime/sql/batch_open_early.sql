-- batch_open_lone.sql for an execution whose script has run already: all its locks are free, or it is
-- an error and nothing happens. $1 to $7 as there; $8: the text of some value depends on settings, and
-- must be what it is in other transactions of the host. The last column tells the deadline. See
-- batch_open_early_lean.sql too.
SELECT pg_catalog.set_config('statement_timeout', $1::text, true),
       pg_catalog.set_config('idle_in_transaction_session_timeout', $1::text, true),
       pg_catalog.set_config('lock_timeout', $7::text, true),
       CASE WHEN pg_catalog.current_setting('server_version_num')::integer >= 170000
            THEN pg_catalog.set_config('transaction_timeout',
                CASE pg_catalog.set_config('transaction_timeout', '0', true)
                WHEN '0' THEN $1::text END, true) END,
       pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true),
       pg_catalog.set_config('application_name', $2::text || ' until ' ||
           ((pg_catalog.date_part('epoch', pg_catalog.now()) * 1000)::bigint + $1::bigint), true)
 WHERE CASE WHEN pg_catalog.pg_try_advisory_xact_lock_shared($3::bigint) IS NOT FALSE
             AND pg_catalog.pg_try_advisory_xact_lock_shared($4::bigint) IS NOT FALSE
             AND pg_catalog.pg_try_advisory_xact_lock_shared($5::bigint) IS NOT FALSE
             AND pg_catalog.pg_try_advisory_xact_lock($6::bigint) IS NOT FALSE
             AND pg_catalog.current_setting('transaction_isolation') = 'read committed'
             AND pg_catalog.current_setting('synchronous_commit') <> 'off'
             AND ($8::boolean IS FALSE
                  OR pg_catalog.starts_with(pg_catalog.current_setting('datestyle'), 'ISO')
                     AND pg_catalog.current_setting('intervalstyle') = 'postgres'
                     AND pg_catalog.current_setting('extra_float_digits') = '1'
                     AND pg_catalog.current_setting('bytea_output') = 'hex')
            THEN true ELSE @schema@.expect(0, 1, 'locks that were free') IS NULL END
