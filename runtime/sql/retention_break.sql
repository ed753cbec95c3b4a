-- Locks that were broken long ago. A young record stays whatever is said: it is how the host that lost
-- the transaction learns why, and by whom.
DELETE FROM @schema@.lock_break
 WHERE id = ANY (ARRAY(
        SELECT b.id
          FROM @schema@.lock_break AS b
         WHERE b.at < statement_timestamp() - greatest($1::bigint * interval '1 millisecond', interval '1 hour')
         ORDER BY b.id
         LIMIT $2::integer
           FOR UPDATE SKIP LOCKED))
