/*
 * Many runs of a workflow in this process: so many at once, until the plan is done.
 */
#pragma once
#include "progress.h"
#include "run_plan.h"
#include "run_totals.h"
#include "runtime.h"

struct event_base;
struct run_load;

enum {
    RUN_CONCURRENCY_DEFAULT = 64,
    RUN_CONCURRENCY_MAX = 100 * 1000,
    RUN_LAST_WAIT_US = 5 * 1000 * 1000, /* for what is under way when asked to stop */
};

struct run_load_options {
    struct event_base *base;
    struct runtime *runtime;
    struct workflow *workflow;
    struct run_plan *plan;
    int concurrency;
    bool quiet;
    const char *key;       /* idempotency key of every run; NULL = none */
    bool queue;            /* leave the runs to the background */
    runtime_done_fn *each; /* NULL = none: told every result; lent for the call */
    void *arg;
};

/* totals is kept. *out must be freed after the runtime, which answers late ones at its end. */
MUST_CHECK bool run_load_new(const struct run_load_options *options, struct run_totals *totals,
                             struct run_load **out, struct fault *fault);
void run_load_free(struct run_load *load);

/* Runs the loop until all is done, or a signal came and what was under way had its time.
 * *signal_number is the signal that cut it short, 0 if none did. Fails for memory. */
MUST_CHECK bool run_load_run(struct run_load *load, int *signal_number, struct fault *fault);
