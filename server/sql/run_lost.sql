-- What became of runs whose host died before it answered, in the order asked; NULL = not known. Of
-- an instance that has not ended, and that no job goes on with, nobody can say how its run ended:
-- the history of its earlier activities tells nothing about that.
SELECT CASE WHEN i.status <> 'running' THEN i.status
            WHEN i.id IS NOT NULL AND i.process IS NOT NULL THEN NULL
            WHEN i.id IS NULL AND EXISTS (SELECT FROM @schema@.job AS j
                                           WHERE j.instance = lost.id AND j.kind = 'start' AND NOT j.dead)
                 THEN 'queued'
            ELSE (SELECT e.status
                    FROM @schema@.execution AS e
                   WHERE e.instance = lost.id
                     AND (i.id IS NULL OR e.status IN ('locked', 'conflict', 'expired'))
                   ORDER BY e.finished_at DESC
                   LIMIT 1)
       END
  FROM pg_catalog.unnest($1::uuid[]) WITH ORDINALITY AS lost(id, nr)
  LEFT JOIN @schema@.instance AS i ON i.id = lost.id
 ORDER BY lost.nr
