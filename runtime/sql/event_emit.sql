-- Each workflow that a trigger starts at the event gets a job. The ids of the jobs, which are those
-- of the instances to come, begin like the event's: with the time.
INSERT INTO @schema@.job (id, kind, workflow, instance, input)
SELECT n.id, 'start', n.workflow, n.id, n.payload
  FROM (SELECT (left(v.id, 15) || substr(gen_random_uuid()::text, 16))::uuid AS id, t.workflow, v.payload
          FROM unnest($1::text[], $2::text[], $3::jsonb[]) AS v(id, event, payload)
          JOIN @schema@.trigger AS t ON t.event = v.event
        OFFSET 0) AS n
RETURNING workflow, instance
