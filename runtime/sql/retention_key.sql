-- Old idempotency keys. One whose instance is open, or has completed lately, or is still a job,
-- stays: its answer is asked for, or to come.
DELETE FROM @schema@.idempotency_key
 WHERE ctid = ANY (ARRAY(
        SELECT k.ctid
          FROM @schema@.idempotency_key AS k
         WHERE k.instance < @schema@.id_floor(statement_timestamp() - $1::bigint * interval '1 millisecond')
           AND k.created_at < statement_timestamp() - $1::bigint * interval '1 millisecond'
           AND NOT EXISTS (SELECT FROM @schema@.instance AS i WHERE i.id = k.instance)
           AND NOT EXISTS (SELECT FROM @schema@.job AS j WHERE j.instance = k.instance)
         ORDER BY k.instance
         LIMIT $2::integer
           FOR UPDATE OF k SKIP LOCKED))
