UPDATE @schema@.job
   SET claimed_until = pg_catalog.clock_timestamp() + $2::bigint * interval '1 millisecond'
 WHERE claimed_by = $1::uuid AND NOT dead AND id = ANY ($3::uuid[])
