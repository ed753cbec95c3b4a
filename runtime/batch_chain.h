/*
 * The step from an activity without auto-commit to the next one, inside the transaction: what it
 * changed is saved, the next one's locks are tried and its rows loaded. A lock is never waited for
 * while others are held, since that deadlocks unseen: refused, all is rolled back and begins again
 * with every lock that is known by then.
 */
#pragma once
#include "batch_state.h"

/* The running member, alone in its batch, has ended an activity that does not commit by itself; its
 * changes are kept and the next activity is staged. */
void batch_chain_step(struct batch *batch);
