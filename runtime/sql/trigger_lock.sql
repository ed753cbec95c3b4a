-- Before trigger_put, in a statement of its own: next_at is not older than a tick that fires now.
SELECT FROM @schema@.trigger WHERE workflow = $1::text ORDER BY ordinal FOR UPDATE
