SELECT id, state_version, status, activity, wait_for, process
  FROM @schema@.instance
 WHERE id = ANY ($1::uuid[])
