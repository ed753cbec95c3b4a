-- A host that stops: what it has at hand is free for others at once.
WITH gone AS (DELETE FROM @schema@.host WHERE process = $1::uuid)
UPDATE @schema@.job SET claimed_by = NULL, claimed_until = NULL WHERE claimed_by = $1::uuid
