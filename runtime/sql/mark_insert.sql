INSERT INTO @schema@.commit_mark (attempt) VALUES ($1::uuid)
