-- Dead jobs that nobody has let run again for long.
DELETE FROM @schema@.job
 WHERE id = ANY (ARRAY(
        SELECT j.id
          FROM @schema@.job AS j
         WHERE j.dead
           AND j.run_at < statement_timestamp() - $1::bigint * interval '1 millisecond'
         ORDER BY j.id
         LIMIT $2::integer
           FOR UPDATE SKIP LOCKED))
