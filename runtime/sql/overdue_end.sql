-- Ends sessions whose published deadline has passed while they wait for the rest of a pipeline: a
-- client frozen there is seen by none of the server's own timeouts below version 17.
SELECT count(pg_catalog.pg_terminate_backend(a.pid))
  FROM (SELECT pid, pg_catalog.substring(application_name, '^latchkey [0-9a-f]{8} until ([0-9]{1,15})$')::bigint
                   AS until_ms
          FROM pg_catalog.pg_stat_activity
         WHERE datname = pg_catalog.current_database() AND usename = current_user
           AND state = 'active' AND wait_event = 'ClientRead'
           AND application_name LIKE 'latchkey % until %') a
 WHERE a.until_ms < extract(epoch FROM pg_catalog.clock_timestamp()) * 1000
