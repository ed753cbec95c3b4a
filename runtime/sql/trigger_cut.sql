DELETE FROM @schema@.trigger WHERE workflow = $1::text AND ordinal > $2::integer
