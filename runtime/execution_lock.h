/*
 * Which locks an execution takes: its activity's lock context, and latchkey's own paths.
 */
#pragma once
#include "execution.h"

/* Evaluates the lock context; execution->locks is the result, NULL if there is nothing to lock. One
 * that uses data is left for later: then they are latchkey's own paths alone. A wrong lock context
 * is FAULT_INVALID with its place. */
MUST_CHECK bool execution_lock_evaluate(struct execution *execution, struct fault *fault);

/* True if its lock context can be evaluated only with its data. */
bool execution_lock_uses_data(const struct execution *execution);

/* Evaluates the lock context in a scope that has all that it uses, lock_context_name too. *out is
 * yours. */
MUST_CHECK bool execution_lock_in_scope(const struct execution *execution, struct scope *scope,
                                        struct lock_set **out, struct fault *fault);

/* Adds latchkey's own paths to *set, which is replaced; on failure it is freed and NULL. */
MUST_CHECK bool execution_lock_join(const struct execution *execution, struct lock_set **set,
                                    struct fault *fault);
