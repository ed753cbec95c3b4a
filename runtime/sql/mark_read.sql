SELECT void FROM @schema@.commit_mark WHERE attempt = $1::uuid
