-- Jobs that are still this process's. One that somebody else has at hand is not waited for.
SELECT id
  FROM @schema@.job
 WHERE id = ANY ($1::uuid[]) AND claimed_by = $2::uuid AND NOT dead
   FOR UPDATE SKIP LOCKED
