/*
 * The last line of defence against Lua that never gives way: a thread of its own that looks every
 * now and then whether the loop's thread is still in the same stretch of Lua, and for how much
 * processor time. Scripts and expressions end by their limits long before; should one call of C
 * know none, the whole host stands still, its locks run out, and nobody can stop the call. Then the
 * watchdog says where it is and aborts the process. What it had under way is taken up elsewhere, as
 * after any crash.
 */
#pragma once
#include "fault.h"

#include <stdint.h>

struct log;
struct sandbox;
struct watchdog;

/* Watches the calling thread, which must be the loop's. log and sandbox are kept. *out is yours to
 * watchdog_free. */
MUST_CHECK bool watchdog_start(struct sandbox *sandbox, const struct log *log, int64_t limit_us,
                               struct watchdog **out, struct fault *fault);
void watchdog_free(struct watchdog *watchdog);
