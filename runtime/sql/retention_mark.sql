-- Marks of commits that nobody will ask about any more. A void one stays for longer than any
-- transaction may last: it is what keeps a straggler from committing.
DELETE FROM @schema@.commit_mark
 WHERE attempt = ANY (ARRAY(
        SELECT m.attempt
          FROM @schema@.commit_mark AS m
         WHERE m.attempt < @schema@.id_floor(statement_timestamp() - $1::bigint * interval '1 millisecond')
           AND m.at < statement_timestamp() - $1::bigint * interval '1 millisecond'
           AND (NOT m.void OR m.at < statement_timestamp() - interval '60 days')
         ORDER BY m.attempt
         LIMIT $2::integer
           FOR UPDATE SKIP LOCKED))
