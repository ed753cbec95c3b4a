SELECT name FROM @schema@.migration ORDER BY name COLLATE "C"
