/*
 * The faults, statuses and levels of latchkey.h are ours by another name.
 */
#pragma once
#include "fault.h"
#include "latchkey.h"

/* For a failing path: returns false. */
bool latchkey_fault_tell(const struct fault *fault, struct latchkey_fault *out);

/* NULL stays NULL; otherwise *room is filled and returned. */
const struct latchkey_fault *latchkey_fault_lend(const struct fault *fault,
                                                 struct latchkey_fault *room);
