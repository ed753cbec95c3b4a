SELECT workflow, version, activity, status, wait_for, process, state_version, steps, has_idled, input, vars, output
  FROM @schema@.instance
 WHERE id = $1::uuid
