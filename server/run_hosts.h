/*
 * Many runs of a workflow spread over several host processes, which this process starts: each is
 * the same program, run with --worker (run_worker.h tells what is said between them).
 *
 *   STARTING --"ready"--> READY --no more work, all answered--> LEAVING --end of file--> ENDED
 *       \__________________end of file, with answers missing_____________________________^
 *
 * Work is handed out, and the clock starts, when no host is STARTING, or 2 s after the first was
 * READY: nobody waits for one that hangs.
 *
 * Every host has a window of unanswered runs. What a dead one left unanswered is looked up in the
 * database by the instances' ids once all others are done; what is not found there is `unknown`.
 * Work that was not handed out yet goes to the hosts that live; when none does, it is `failed`.
 */
#pragma once
#include "log.h"
#include "run_plan.h"
#include "run_totals.h"

struct event_base;

struct run_hosts_options {
    struct event_base *base;
    const char *target;   /* FILE or NAME */
    const char *conninfo; /* "" = the PG* variables */
    const char *schema;
    struct run_plan *plan;
    int n_hosts;
    int concurrency; /* of all together */
    int pool;        /* of each */
    int busy_poll_us;
    const char *key; /* idempotency key of every run; NULL = none */
    bool queue;      /* leave the runs to the background */
    bool quiet;
    enum log_form log_form; /* of the hosts */
};

enum {
    RUN_HOSTS_MAX = 256,
    RUN_HOSTS_START_WAIT_US = 2 * 1000 * 1000,
};

/* Runs the loop until all is done. *signal_number is the signal that cut it short, 0 if none did.
 * Fails when nothing was run: no host could be started, or all said why they cannot work. */
MUST_CHECK bool run_hosts(const struct run_hosts_options *options, struct run_totals *totals,
                          int *signal_number, struct fault *fault);
