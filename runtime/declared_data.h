/*
 * The rows that a definition declares under `data`, for one execution: which they are, and how its
 * script comes to see them.
 */
#pragma once
#include "batch_rows.h"
#include "execution.h"
#include "script.h"

/* Evaluates the keys over what expressions see without data, and asks rows for them. *slots has one
 * per declaration, in region; NULL without any. A wrong key is FAULT_INVALID with its place. */
MUST_CHECK bool declared_data_want(const struct execution *execution, struct region *region,
                                   struct batch_rows *rows, int **slots, struct fault *fault);

/* Gives what was loaded to the script. FAULT_MISSING where a required row is not there. */
MUST_CHECK bool declared_data_bind(const struct execution *execution, struct script *script,
                                   const struct batch_rows *rows, const int *slots,
                                   struct fault *fault);
