-- How full the server's lock table is, of how many entries, and between how many hosts it is shared.
-- What is held by the fast path takes no entry; several holders of one lock take one.
SELECT (SELECT count(*)
          FROM (SELECT DISTINCT locktype, database, relation, page, tuple, virtualxid,
                       transactionid::text, classid, objid, objsubid
                  FROM pg_catalog.pg_locks WHERE NOT fastpath) l) AS used,
       pg_catalog.current_setting('max_locks_per_transaction')::bigint *
           (pg_catalog.current_setting('max_connections')::bigint +
            pg_catalog.current_setting('max_prepared_transactions')::bigint) AS size,
       (SELECT count(*) FROM @schema@.host
         WHERE beat_at > pg_catalog.clock_timestamp() - interval '15 seconds') AS hosts
