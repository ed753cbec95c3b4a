INSERT INTO @schema@.migration (name) VALUES ($1)
