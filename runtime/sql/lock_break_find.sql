-- Which locks of a lost transaction were broken, and by whom. $1: tag of the host; $2: the deadline.
SELECT key, path, by FROM @schema@.lock_break
 WHERE tag = $1::text AND until_ms = (extract(epoch FROM $2::timestamptz) * 1000)::bigint
