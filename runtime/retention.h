/*
 * Forgets what is old: history, completed instances, idempotency keys, dead jobs and broken locks
 * after the time that the operator says, marks of commits and rows of dead hosts after a day. Goes
 * round from time to time, in small steps with pauses between, each its own transaction; steps of
 * several hosts pass by each other's rows. With nothing to do a round is a few looks into indexes.
 *
 *   RESTING --time--> a step --full--> a pause --> the same step
 *                        \---not full--> the next step --the last--> RESTING
 */
#pragma once
#include "runtime.h"

struct retention;

MUST_CHECK bool retention_new(struct runtime *runtime, const struct background_options *options,
                              struct retention **out, struct fault *fault);

/* No more steps. */
void retention_stop(struct retention *retention);
void retention_free(struct retention *retention);
