-- The instance that a job starts is there now: from here on the job goes on with it.
WITH changed AS (
    UPDATE @schema@.job SET kind = 'resume' WHERE id = $1::uuid AND claimed_by = $2::uuid RETURNING 1)
SELECT @schema@.expect(count(*), 1, 'the job was taken by another host') FROM changed
