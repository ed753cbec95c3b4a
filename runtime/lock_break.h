/*
 * Breaking a lock, for an operator: the break is recorded in latchkey.lock_break, with who did it
 * and what it met, then the holder's transaction is ended. Of its host's executions only those that
 * hold the path end expired. A lease is broken by deleting its rows.
 *
 *   RECORDING --answer--> ENDING the session --answer--> told
 *       \___ nobody holds it; a lease only _______________^
 */
#pragma once
#include "fault.h"

struct lock_break;
struct runtime;

/* met: a JSON array, the rows of latchkey.locks that showed what was broken, lent for the call;
 * NULL with *fault: FAULT_MISSING when nobody holds the path, FAULT_CONFLICT when the holder waits
 * for a standby (ended now it would have committed), FAULT_DATABASE. Called exactly once, from the
 * loop, unless cancelled. */
typedef void lock_break_fn(const char *met, const struct fault *fault, void *arg);

/* path is canonical, or as latchkey.locks shows a key without a path; by says who does it. Both are
 * copied. FAULT_INVALID for another path. */
MUST_CHECK bool lock_break_start(struct runtime *runtime, const char *path, const char *by,
                                 lock_break_fn *done, void *arg, struct lock_break **out,
                                 struct fault *fault);
void lock_break_cancel(struct lock_break *request); /* NULL is fine */
