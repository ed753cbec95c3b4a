/*
 * The tries of the locks of a batch's members, and what the answers make of each: it has its locks,
 * is refused, meets a lease, or runs again.
 */
#pragma once
#include "batch_state.h"
#include "key_tries.h"

/* Adds the statement that sets the limits and tries the locks of all members that want some, and
 * the look for leases. */
MUST_CHECK bool batch_add_tries(struct batch *batch, const struct transaction_limits *limits,
                                struct fault *fault);

/* Decides for who did not get its locks. False without memory. */
MUST_CHECK bool batch_read_tries(struct batch *batch, const struct pg_answer *answer,
                                 struct fault *fault);

/* The same of those that join a transaction which has waited: the members that are not granted. */
MUST_CHECK bool batch_add_join(struct batch *batch, struct fault *fault);
MUST_CHECK bool batch_read_join(struct batch *batch, const struct pg_answer *answer,
                                struct fault *fault);

/* The answer to the look for leases: with one in the way nobody whose locks were tried, or waited
 * for just before, goes on. */
void batch_read_look(struct batch *batch, const PGresult *look);
