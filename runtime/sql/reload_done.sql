UPDATE @schema@.reload SET done = $1::bigint WHERE done < $1::bigint
