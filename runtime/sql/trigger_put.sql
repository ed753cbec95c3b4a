-- The triggers of a version take the place of those before, in their order: $3 events and $4
-- periods, one of them NULL. A period that was there before keeps its next time: the first one of
-- that length that of the first, and so on.
WITH given AS (
    SELECT ordinal, event, every_ms,
           pg_catalog.row_number() OVER (PARTITION BY every_ms ORDER BY ordinal) AS nth
      FROM ROWS FROM (pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::bigint[]))
           WITH ORDINALITY AS g (event, every_ms, ordinal)
), before AS (
    SELECT every_ms, next_at,
           pg_catalog.row_number() OVER (PARTITION BY every_ms ORDER BY ordinal) AS nth
      FROM @schema@.trigger WHERE workflow = $1::text AND every_ms IS NOT NULL
)
INSERT INTO @schema@.trigger AS t (workflow, version, ordinal, event, every_ms, next_at)
SELECT $1::text, $2::integer, g.ordinal::integer, g.event, g.every_ms,
       coalesce(b.next_at,
                pg_catalog.clock_timestamp() + g.every_ms * interval '1 millisecond')
  FROM given g LEFT JOIN before b ON b.every_ms = g.every_ms AND b.nth = g.nth
ON CONFLICT (workflow, ordinal) DO UPDATE
    SET version = EXCLUDED.version, event = EXCLUDED.event, every_ms = EXCLUDED.every_ms,
        next_at = EXCLUDED.next_at
