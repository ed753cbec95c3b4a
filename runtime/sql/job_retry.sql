-- A dead job may run again, with all its attempts. Tells whether it was dead; no row = no such job.
WITH found AS (
    SELECT id, dead FROM @schema@.job WHERE id = $1::uuid FOR UPDATE
), freed AS (
    UPDATE @schema@.job AS j
       SET dead = false, attempts = 0, claimed_by = NULL, claimed_until = NULL,
           run_at = pg_catalog.clock_timestamp()
      FROM found AS f
     WHERE j.id = f.id AND f.dead
)
SELECT dead FROM found
