/*
 * Which locks an execution takes: its activity's lock context, and latchkey's own paths.
 */
#pragma once
#include "execution.h"

/* Evaluates the lock context; execution->locks is the result, NULL if there is nothing to lock.
 * A wrong lock context is FAULT_INVALID with its place. */
MUST_CHECK bool execution_lock_evaluate(struct execution *execution, struct fault *fault);
