DELETE FROM @schema@.lock_name WHERE process = $1::uuid
