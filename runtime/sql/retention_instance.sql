-- Instances that completed long ago. An open one stays, however old.
DELETE FROM @schema@.instance
 WHERE id = ANY (ARRAY(
        SELECT i.id
          FROM @schema@.instance AS i
         WHERE i.id < @schema@.id_floor(statement_timestamp() - $1::bigint * interval '1 millisecond')
           AND i.status = 'completed'
           AND i.updated_at < statement_timestamp() - $1::bigint * interval '1 millisecond'
         ORDER BY i.id
         LIMIT $2::integer
           FOR UPDATE SKIP LOCKED))
