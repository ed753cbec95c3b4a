-- What an execution by itself leaves behind when its instance ends with it: the instance, the history
-- row and the mark of the commit. If it saves one row, the UPDATE goes first in the list below, and its
-- condition last: batch_rows_add_save_within. $4: the activity; $11: the paths of its locks, as in
-- execution_insert.sql; $15: the attempt.
WITH instance AS (
    INSERT INTO @schema@.instance (id, workflow, version, activity, status, input, vars, output, steps,
                                   has_idled, process, key)
    VALUES ($1::uuid, $2::text, $3::integer, $4::text, 'completed', $5::jsonb, $6::jsonb, $7::jsonb,
            $8::integer, false, $9::uuid, $10::text)
), execution AS (
    INSERT INTO @schema@.execution (instance, workflow, version, activity, status, paths, waited_ms,
                                    held_ms, attempts, process)
    VALUES ($1::uuid, $2::text, $3::integer, $4::text, 'completed',
            coalesce(pg_catalog.string_to_array(nullif($11::text, ''), E'\n'), '{}'), $12::real,
            $13::real, $14::integer, $9::uuid)
)
INSERT INTO @schema@.commit_mark (attempt) SELECT $15::uuid
