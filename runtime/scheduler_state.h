/* What the files of the scheduler share: scheduler.c (who comes and ends, what a batch takes and
 * when it begins) and scheduler_return.c (what comes back from a batch). */
#pragma once
#include "contention.h"
#include "pace.h"
#include "scheduler.h"
#include "wait_lengths.h"

TAILQ_HEAD(execution_line, execution);

struct scheduler {
    struct runtime *runtime;
    struct lock_queue *queue;
    struct event *go;
    struct execution_line lines[READY_LINES];
    int lengths[READY_LINES];
    int running[3]; /* batches by kind, from their request for a connection on */
    int pending[3]; /* of them, those whose connection has not come */
    int limits[3];
    int n_leases;     /* that executions of this host hold */
    struct pace pace; /* of plain batches */
    struct contention contention;
    struct wait_lengths waits;
    struct fault away; /* the last failure to get a connection */
    int64_t away_us;
};

/* Into a line, at its end or, with `first`, at its head; out of any line that it stands in. */
void scheduler_enter_line(struct scheduler *scheduler, struct execution *execution,
                          enum ready_line line, bool first);
void scheduler_leave_line(struct scheduler *scheduler, struct execution *execution);

/* The line for one that has its turn and is not put off. */
enum ready_line scheduler_own_line(const struct execution *execution);

/* Sets its timer to the end of its wait, or to when it comes back from where it was put off. */
void scheduler_arm(struct execution *execution);

/* It ends without having had its lock. */
void scheduler_end_waiting(struct scheduler *scheduler, struct execution *execution);
