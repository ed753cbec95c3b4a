-- Old history. $1: how long it is kept, in milliseconds. $2: rows of one step. Rows that another
-- host deletes are left to it.
DELETE FROM @schema@.execution
 WHERE ctid = ANY (ARRAY(
        SELECT e.ctid
          FROM @schema@.execution AS e
         WHERE e.instance < @schema@.id_floor(statement_timestamp() - $1::bigint * interval '1 millisecond')
           AND e.finished_at < statement_timestamp() - $1::bigint * interval '1 millisecond'
         ORDER BY e.instance
         LIMIT $2::integer
           FOR UPDATE SKIP LOCKED))
