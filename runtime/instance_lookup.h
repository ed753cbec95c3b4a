/*
 * Runs of instances that exist: an event for an idle one, or a stopped one going on. The row says
 * which version of the definition it runs and where it stands; the run then finds under its lock
 * whether that is still so.
 *
 *   FINDING (its row) --> LOADING (its definition) --> RUNNING (an execution) --> answered
 *       ^                                                |
 *       \----- an event that the changed row takes too --/
 */
#pragma once
#include "runtime.h"

/* At the end of the runtime: answers all that have no execution yet. */
void instance_lookup_abandon_all(struct runtime *runtime);
