-- batch_open_early.sql without what most have no use for, which costs even where it is not evaluated:
-- a row whose text depends on no settings, a server without transaction_timeout. Change them together.
-- $1 to $7 as there.
SELECT pg_catalog.set_config('statement_timeout', $1::text, true),
       pg_catalog.set_config('idle_in_transaction_session_timeout', $1::text, true),
       pg_catalog.set_config('lock_timeout', $7::text, true),
       pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true),
       pg_catalog.set_config('application_name', $2::text || ' until ' ||
           ((pg_catalog.date_part('epoch', pg_catalog.now()) * 1000)::bigint + $1::bigint), true)
 WHERE CASE WHEN pg_catalog.pg_try_advisory_xact_lock_shared($3::bigint) IS NOT FALSE
             AND pg_catalog.pg_try_advisory_xact_lock_shared($4::bigint) IS NOT FALSE
             AND pg_catalog.pg_try_advisory_xact_lock_shared($5::bigint) IS NOT FALSE
             AND pg_catalog.pg_try_advisory_xact_lock($6::bigint) IS NOT FALSE
             AND pg_catalog.current_setting('transaction_isolation') = 'read committed'
             AND pg_catalog.current_setting('synchronous_commit') <> 'off'
            THEN true ELSE @schema@.expect(0, 1, 'locks that were free') IS NULL END
