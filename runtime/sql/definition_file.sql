-- The file in which a reload has found a workflow.
INSERT INTO @schema@.definition_state (workflow, file) VALUES ($1::text, $2::text)
ON CONFLICT (workflow) DO UPDATE SET file = EXCLUDED.file
