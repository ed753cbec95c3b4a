INSERT INTO @schema@.reload AS r (asked) VALUES (1)
ON CONFLICT (only_row) DO UPDATE SET asked = r.asked + 1
RETURNING asked
