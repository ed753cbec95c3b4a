/*
 * Lock contexts that use data, once the data are loaded under the lock.
 */
#pragma once
#include "batch_state.h"

/* A lock context that uses data is evaluated once more on what stands there under the lock. False
 * if that is another lock: this one goes, and the execution starts over with the other. */
MUST_CHECK bool batch_relock_is_right(struct member *member, struct fault *fault);
