-- Hosts that died long ago: what they ran is taken over, with their row or without.
DELETE FROM @schema@.host
 WHERE process = ANY (ARRAY(
        SELECT h.process
          FROM @schema@.host AS h
         WHERE h.beat_at < statement_timestamp() - $1::bigint * interval '1 millisecond'
         LIMIT $2::integer
           FOR UPDATE SKIP LOCKED))
