/*
 * New instances that are left to the background. Those that come while a transaction is under way
 * share the next one; an answer that was lost is looked up.
 */
#pragma once
#include "runtime.h"

/* At the end of the runtime: answers all. */
void job_enqueue_abandon_all(struct runtime *runtime);
