/*
 * Refreshing published definitions: their triggers are indexed again and every host reads them
 * again. Lock paths $definitions/ID, or $definitions for all: all or none, zero wait.
 *
 *   LOCKING --granted--> READING (one text a turn) --> COMMITTING --> done
 *       \___refused: already-in-progress, nothing done_______________^
 */
#pragma once
#include "json.h"

struct definition_refresh;
struct runtime;

/* See runtime_refresh. */
typedef void definition_refresh_fn(const json_t *report, const struct fault *fault, void *arg);

MUST_CHECK bool definition_refresh_start(struct runtime *runtime, const char *const *ids, int n_ids,
                                         definition_refresh_fn *done, void *arg,
                                         struct fault *fault);

/* At the end of the runtime: tells FAULT_CANCELLED. */
void definition_refresh_abandon(struct runtime *runtime);
