-- Raises when the deadline has passed: an execution that outlasted its lock cannot commit.
SELECT @schema@.still_in_time($1::timestamptz)
