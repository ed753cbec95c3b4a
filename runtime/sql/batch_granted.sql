-- The lock is held: from here its time runs. $1: waiting timeout in milliseconds; $2: tag of the host.
-- Gives the deadline by the database's clock, as batch_open.sql does.
-- A transaction_timeout that runs already is not begun anew by another value, only ended by 0.
SELECT pg_catalog.to_char(d.deadline AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00'),
       pg_catalog.set_config('statement_timeout', $1::text, true),
       pg_catalog.set_config('idle_in_transaction_session_timeout', $1::text, true),
       pg_catalog.set_config('application_name', $2::text || ' until ' ||
           (extract(epoch FROM d.deadline) * 1000)::bigint, true),
       CASE WHEN pg_catalog.current_setting('server_version_num')::integer >= 170000
            THEN pg_catalog.set_config('transaction_timeout',
                CASE pg_catalog.set_config('transaction_timeout', '0', true)
                WHEN '0' THEN $1::text END, true) END
  FROM (SELECT pg_catalog.clock_timestamp() + $1::integer * interval '1 millisecond' AS deadline) d
