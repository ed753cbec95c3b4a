-- The limits once more, as what is left to the deadline: each statement restarts the server's timers,
-- and a script's own SQL may have changed them. $1: deadline; $2: milliseconds to wait for a row.
-- Gives the milliseconds that are left. Of transaction_timeout see batch_granted.sql.
SELECT r.left_ms,
       pg_catalog.set_config('statement_timeout', r.left_ms, true),
       pg_catalog.set_config('idle_in_transaction_session_timeout', r.left_ms, true),
       pg_catalog.set_config('lock_timeout', $2::text, true),
       CASE WHEN pg_catalog.current_setting('server_version_num')::integer >= 170000
            THEN pg_catalog.set_config('transaction_timeout',
                CASE pg_catalog.set_config('transaction_timeout', '0', true)
                WHEN '0' THEN r.left_ms END, true) END
  FROM (SELECT greatest(1, ceil(extract(epoch FROM
               $1::timestamptz - pg_catalog.clock_timestamp()) * 1000))::bigint::text AS left_ms) r
