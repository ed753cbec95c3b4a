-- Timers that are due: the next time is set and the job made in one statement, so each tick comes
-- once over all hosts. Missed ticks are one.
WITH due AS (
    SELECT workflow, ordinal, every_ms, next_at, pg_catalog.clock_timestamp() AS now
      FROM @schema@.trigger
     WHERE next_at <= pg_catalog.clock_timestamp()
       FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE @schema@.trigger AS t
       SET next_at = d.next_at + interval '1 millisecond' * d.every_ms
                     * (floor(extract(epoch FROM d.now - d.next_at) * 1000 / d.every_ms) + 1)
      FROM due AS d
     WHERE t.workflow = d.workflow AND t.ordinal = d.ordinal
    RETURNING t.workflow
)
INSERT INTO @schema@.job (id, kind, workflow, instance, input)
SELECT n.id, 'start', n.workflow, n.id, '{}'
  FROM (SELECT (left($1::text, 15) || substr(gen_random_uuid()::text, 16))::uuid AS id, workflow
          FROM moved OFFSET 0) AS n
