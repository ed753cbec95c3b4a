WITH gone AS (DELETE FROM @schema@.job WHERE id = ANY ($1::uuid[]) AND claimed_by = $2::uuid RETURNING 1)
SELECT @schema@.expect(count(*), $3::bigint, 'the job was taken by another host') FROM gone
