-- Leases of a host that stops: what it runs under them is not going to be saved. $1: the process; $2:
-- their tokens. One whose last transaction is under way is left to that.
DELETE FROM @schema@.lease
 WHERE path = ANY (ARRAY(
        SELECT l.path
          FROM @schema@.lease AS l
         WHERE l.process = $1::uuid AND l.token = ANY ($2::bigint[])
         ORDER BY l.path
           FOR UPDATE SKIP LOCKED))
   AND process = $1::uuid AND token = ANY ($2::bigint[])
