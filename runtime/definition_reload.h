/*
 * Reloading a directory of definitions, by one host at a time: lock path $definitions, zero wait.
 *
 *   TRYING --granted--> READING --> COMMITTING --> LOOKING --nobody asked meanwhile--> done
 *    |  ^                 one file a turn             \__somebody did: TRYING again
 *    |  |
 *    |  \--(1) ASKING: raises the counter, then tries once more
 *    \__refused: (2) told already-in-progress, FOLLOWING
 *
 * The raise is committed before the second try. So whoever refuses that try looks at the counter
 * after it has let go, finds it raised, and reads the directory again. Who refuses may be no reload
 * but a publisher or a refresh, which read no directory: therefore FOLLOWING, for a short time, and
 * after that the watch of any host that has a directory.
 */
#pragma once
#include "json.h"

struct definition_reload;
struct runtime;

/* See runtime_reload. */
typedef void definition_reload_fn(const json_t *report, const struct fault *fault, void *arg);

MUST_CHECK bool definition_reload_start(struct runtime *runtime, const char *directory,
                                        const char *published_by, definition_reload_fn *done,
                                        void *arg, struct fault *fault);

/* For requests that nobody carried out: raises nothing, tells nobody, gives up when refused. */
MUST_CHECK bool definition_reload_take_up(struct runtime *runtime, const char *directory,
                                          const char *published_by, struct fault *fault);

/* At the end of the runtime: tells FAULT_CANCELLED where done has not run. */
void definition_reload_abandon(struct runtime *runtime);
