/*
 * What became of runs whose host died before it answered: asked of the database.
 */
#pragma once
#include "run_host.h"
#include "run_totals.h"

struct event_base;

struct run_lookup {
    struct event_base *base;
    const char *conninfo;
    const char *schema;
};

/* Waits until the dead hosts (process ids, ended by NULL) have no session left in the server, for a
 * few seconds at most: what they sent last is still being done until then. Then counts each of the
 * handed runs under the status that its instance or its history tells, or as unknown. Runs the
 * loop. A database that cannot be asked makes all of them unknown. */
void run_lookup(const struct run_lookup *lookup, const char *const *processes,
                const struct run_handed_list *list, struct run_totals *totals);
