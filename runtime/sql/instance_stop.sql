-- Instances whose run ended at an activity that kept nothing: they stay at their last commit point.
-- One that goes on later ('running') gets a job, in the same statement. Whoever has changed the
-- instance meanwhile is right.
WITH stopped AS (
    UPDATE @schema@.instance AS i
       SET status = v.status, reason = v.reason, process = NULL,
           state_version = i.state_version + 1, updated_at = pg_catalog.clock_timestamp()
      FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::uuid[])
           AS v(id, state_version, status, reason, job)
     WHERE i.id = v.id AND i.state_version = v.state_version
    RETURNING i.id, i.workflow, i.version, i.status, i.reason, v.job)
INSERT INTO @schema@.job (id, kind, workflow, version, instance, run_at, last_error)
SELECT s.job, 'resume', s.workflow, s.version, s.id,
       pg_catalog.clock_timestamp() + interval '1 second', s.reason
  FROM stopped AS s
 WHERE s.status = 'running' AND s.job IS NOT NULL
