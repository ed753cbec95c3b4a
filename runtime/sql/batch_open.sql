-- The start of a transaction that waits for no lock: its limits, the tries of its locks and its
-- deadline in one statement. Nothing here waits, so the limits of the time after the grant hold from
-- the start. $1: waiting timeout in milliseconds; $2: tag of the host; $3, $4: advisory keys to try,
-- shared and exclusive; $5: milliseconds to wait for a row. Gives the keys that were refused, NULL =
-- none. With a shared one among them no exclusive one is tried: who is refused what stands above its
-- path would keep the path.
-- The deadline is written the same in every datestyle: most of them name time zones by abbreviations
-- that are read as others.
-- Of transaction_timeout see batch_granted.sql.
-- An execution by itself begins with batch_open_lone.sql: both say the same of limits.
-- Each function called here costs its preparation, also where it is not called in the end. So what is
-- mostly right stands in one function, and what is set is an argument of one: as columns of their own,
-- or joined to one text, they cost more than all the tries.
-- latchkey's statements find rows by their keys, whose arrays are parameters: planning them anew for
-- each batch costs more than running them, and gives the same plan. See plan_own.sql.
SELECT pg_catalog.to_char(d.deadline AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'),
       d.refused,
       CASE WHEN d.refused IS NULL THEN
           (SELECT pg_catalog.array_agg(k) FROM pg_catalog.unnest($4::bigint[]) AS k
             WHERE NOT pg_catalog.pg_try_advisory_xact_lock(k)) END,
       pg_catalog.num_nonnulls(
           pg_catalog.set_config('statement_timeout', $1::text, true),
           pg_catalog.set_config('idle_in_transaction_session_timeout', $1::text, true),
           pg_catalog.set_config('lock_timeout', $5::text, true),
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
  FROM (SELECT pg_catalog.clock_timestamp() + $1::integer * interval '1 millisecond' AS deadline,
               (SELECT pg_catalog.array_agg(k) FROM pg_catalog.unnest($3::bigint[]) AS k
                 WHERE NOT pg_catalog.pg_try_advisory_xact_lock_shared(k)) AS refused) AS d
