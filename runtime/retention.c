#include "retention.h"

#include "clock.h"
#include "commit_lookup.h"
#include "errand.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STEP_ROWS = 1000,
    PAUSE_LEAST_US = 20 * 1000,
    PAUSE_FACTOR = 2, /* times as long as the step took: the database has others to serve */
    CONNECTION_WAIT_US = 5 * 1000 * 1000,
    ANSWER_US = 60 * 1000 * 1000,
    DAY_MS = 24 * 3600 * 1000,
    HOUR_MS = 3600 * 1000,
};

/* A look-up asks for the last time when its attempt is this old; the rest is for slow answers. */
_Static_assert((int64_t)HOUR_MS * 1000 >= 2 * (int64_t)COMMIT_LOOKUP_MOST_US,
               "marks outlive every look-up");

struct retention_step {
    const char *sql;
    const char *what;
    bool by_operator; /* kept as long as the operator says; otherwise a day */
};

/* Keys after the instances that keep them. */
static const struct retention_step steps[] = {
    {SQL_RETENTION_EXECUTION, "history", true},
    {SQL_RETENTION_INSTANCE, "completed instances", true},
    {SQL_RETENTION_KEY, "idempotency keys", true},
    {SQL_RETENTION_JOB, "dead jobs", true},
    {SQL_RETENTION_BREAK, "broken locks", true},
    {SQL_RETENTION_MARK, "commit marks", false},
    {SQL_RETENTION_HOST, "dead hosts", false},
};

enum {
    N_STEPS = sizeof steps / sizeof *steps,
};

struct retention {
    struct runtime *runtime;
    struct background_options options;
    struct event *timer;
    struct errand *errand;
    int step;
    int at_step; /* index of its statement */
    int64_t sent_us;
    bool stopped;
};

static void arm(struct retention *retention, int64_t delay_us)
{
    /* jitter: the hosts should not all go round at the same time */
    struct timeval delay =
        clock_timeval_us((int64_t)((double)delay_us * (0.75 + clock_jitter() / 2)));
    if (!retention->stopped)
        event_add(retention->timer, &delay);
}

static void warn(const struct retention *retention, const struct fault *fault)
{
    if (retention->runtime->options.log)
        log_line(retention->runtime->options.log, LOG_LEVEL_WARNING, "retention", "old %s: %s",
                 steps[retention->step].what, fault->text);
}

static int64_t keep_ms(const struct retention *retention, const struct retention_step *step)
{
    int64_t said_ms = retention->options.keep_history_ms;
    if (step->by_operator)
        return said_ms;
    if (said_ms == 0 || said_ms > DAY_MS)
        return DAY_MS;
    return said_ms > HOUR_MS ? said_ms : HOUR_MS;
}

static void rest(struct retention *retention)
{
    retention->step = 0;
    arm(retention, retention->options.sweep_us);
}

static void on_answer(struct pg_answer *answer, void *arg)
{
    struct retention *retention = arg;
    int64_t pause_us = PAUSE_FACTOR * (clock_monotonic_us() - retention->sent_us);
    retention->errand = NULL;
    if (answer->fault.kind || answer->connection_lost) {
        if (!answer->nothing_sent)
            warn(retention, &answer->fault);
        rest(retention);
        return;
    }
    if (atoi(PQcmdTuples(answer->results[retention->at_step])) < STEP_ROWS)
        retention->step++;
    if (retention->step == N_STEPS)
        rest(retention);
    else
        arm(retention, pause_us > PAUSE_LEAST_US ? pause_us : PAUSE_LEAST_US);
}

static void take_step(struct retention *retention)
{
    const struct retention_step *step = &steps[retention->step];
    char keep[24], limit[24];
    struct fault fault;
    const char *params[] = {keep, limit};
    struct pg_pipeline *pipeline = errand_pipeline();
    snprintf(keep, sizeof keep, "%lld", (long long)keep_ms(retention, step));
    snprintf(limit, sizeof limit, "%d", STEP_ROWS);
    if (pipeline)
        retention->at_step = pg_pipeline_add(pipeline, PG_PREPARED, step->sql, 2, params);
    retention->sent_us = clock_monotonic_us();
    if (errand_start(retention->runtime, PG_POOL_ORDINARY, pipeline, CONNECTION_WAIT_US, ANSWER_US,
                     on_answer, retention, &retention->errand, &fault))
        return;
    warn(retention, &fault);
    rest(retention);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct retention *retention = arg;
    (void)fd;
    (void)what;
    while (steps[retention->step].by_operator && retention->options.keep_history_ms == 0)
        retention->step++; /* for ever */
    take_step(retention);
}

bool retention_new(struct runtime *runtime, const struct background_options *options,
                   struct retention **out, struct fault *fault)
{
    struct retention *retention = calloc(1, sizeof *retention);
    if (!retention)
        return fault_no_memory(fault);
    retention->runtime = runtime;
    retention->options = *options;
    retention->timer = event_new(runtime->base, -1, 0, on_timer, retention);
    if (!retention->timer) {
        retention_free(retention);
        return fault_no_memory(fault);
    }
    rest(retention);
    *out = retention;
    return true;
}

void retention_stop(struct retention *retention)
{
    retention->stopped = true;
    event_del(retention->timer);
    errand_cancel(retention->errand);
    retention->errand = NULL;
}

void retention_free(struct retention *retention)
{
    if (!retention)
        return;
    errand_cancel(retention->errand);
    if (retention->timer)
        event_free(retention->timer);
    free(retention);
}
