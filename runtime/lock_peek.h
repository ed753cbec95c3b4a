/*
 * Lock contexts that use `data`: the rows are loaded before the lock, only to see which lock it is.
 * What they say counts once they are loaded again under it; lock and rows may be others by then.
 */
#pragma once
#include "execution.h"

struct lock_peek;

/* Loads its data, evaluates its lock context and puts it into the queues; or it ends. Its tables
 * are known. */
void lock_peek_start(struct runtime *runtime, struct execution *execution);

/* At the end of the runtime; the executions are not touched. */
void lock_peek_abandon_all(struct runtime *runtime);
