/*
 * A host at a table counter whose row 1 it remembers: the next execution of that row, if it comes
 * by itself, runs before its lock is asked for.
 */
#pragma once
#include "flow_text.h"
#include "runtime_fixture.h"

#define ADD FLOW FLOW_ADD("a", "1", "")

struct early_desk {
    struct runtime_fixture *fixture;
    struct host *host;
    struct workflow *workflow;
    PGconn *other;
};

/* The host remembers rows for the whole of a test. */
struct runtime_options early_desk_options(void **state);

/* Row 1 was saved three times, the last time early; its n is 3, or three more than tables says. */
void early_desk_open(struct early_desk *desk, void **state, const char *yaml);
void early_desk_open_with(struct early_desk *desk, void **state, const char *tables,
                          const char *yaml, const struct runtime_options *options);

/* So many have completed and left what completed ones leave; the row's n is this. */
void early_desk_close(struct early_desk *desk, int n_completed, int n);

/* Executions that were early, and those that had to run again. */
int64_t early_desk_n_early(const struct early_desk *desk);
int64_t early_desk_n_missed(const struct early_desk *desk);

/* Runs one at row 1; the second form says that it completes at the first attempt. */
struct outcome early_desk_run(struct early_desk *desk);
void early_desk_run_well(struct early_desk *desk);

/* Until a session stands before a lock that somebody holds. */
void early_desk_until_somebody_waits(struct early_desk *desk);
