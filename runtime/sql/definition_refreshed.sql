INSERT INTO @schema@.definition_state (workflow, refreshes) VALUES ($1::text, 1)
ON CONFLICT (workflow) DO UPDATE SET refreshes = definition_state.refreshes + 1
