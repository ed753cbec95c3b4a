#include "lease_bell.h"

#include "clock.h"
#include "errand.h"
#include "runtime_sql.h"
#include "runtime_state.h"
#include "scheduler.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECTION_WAIT_US = 2 * 1000 * 1000,
    ANSWER_US = 5 * 1000 * 1000,
    LOOK_US = 5 * 1000 * 1000,   /* how often it is asked whether anybody still listens */
    QUIET_US = 30 * 1000 * 1000, /* after so long without waiters the connection is closed */
};

static const char LISTEN_TEXT[] = "LISTEN latchkey_leases";

struct lease_bell {
    struct runtime *runtime;
    /* ringing */
    struct errand *errand;
    bool rings_again; /* once more after the one under way */
    /* hearing */
    struct pg_conn *ear;
    struct event *timer;
    int64_t wanted_us; /* when somebody last began to wait */
};

/* ---- ringing ---- */

static void ring(struct lease_bell *bell);

static void on_rung(struct pg_answer *answer, void *arg)
{
    struct lease_bell *bell = arg;
    (void)answer; /* not told: the others look by themselves */
    bell->errand = NULL;
    if (bell->rings_again)
        ring(bell);
}

static void ring(struct lease_bell *bell)
{
    struct fault ignored;
    const char *schema[] = {bell->runtime->schema};
    bell->rings_again = bell->errand != NULL; /* the one under way may have been sent before */
    if (bell->errand)
        return;
    struct pg_pipeline *pipeline = pg_pipeline_new(); /* a notice alone needs no transaction */
    if (pipeline)
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_LEASE_NOTIFY, 1, schema);
    if (!errand_start(bell->runtime, PG_POOL_ORDINARY, pipeline, CONNECTION_WAIT_US, ANSWER_US,
                      on_rung, bell, &bell->errand, &ignored))
        bell->errand = NULL;
}

void lease_bell_ring(struct lease_bell *bell)
{
    if (bell->runtime->stopping)
        return;
    scheduler_lease_ended(bell->runtime->scheduler);
    ring(bell);
}

/* ---- hearing ---- */

static void close_ear(struct lease_bell *bell)
{
    pg_conn_close(bell->ear);
    bell->ear = NULL;
}

static void on_notify(const char *channel, const char *payload, void *arg)
{
    struct lease_bell *bell = arg;
    (void)channel;
    if (strcmp(payload, bell->runtime->schema) == 0)
        scheduler_lease_ended(bell->runtime->scheduler);
}

static void on_listening(struct pg_answer *answer, void *arg)
{
    struct lease_bell *bell = arg;
    if (answer->fault.kind)
        close_ear(bell);
    else
        scheduler_lease_ended(bell->runtime->scheduler); /* it may have rung before */
}

static void on_up(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct lease_bell *bell = arg;
    struct fault failed;
    if (!fault && pg_conn_is_pooled(conn))
        return; /* whoever got that session next would hear it: waiters look by themselves */
    struct pg_pipeline *pipeline = fault ? NULL : pg_pipeline_new();
    pg_conn_on_notify(conn, on_notify, bell);
    if (pipeline)
        pg_pipeline_add(pipeline, PG_UNNAMED, LISTEN_TEXT, 0, NULL);
    if (!pipeline || !pg_conn_send(conn, pipeline, ANSWER_US, on_listening, bell, &failed))
        close_ear(bell);
    pg_pipeline_free(pipeline);
}

static void look_later(struct lease_bell *bell)
{
    struct timeval pause = clock_timeval_us(LOOK_US);
    event_add(bell->timer, &pause);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct lease_bell *bell = arg;
    (void)fd;
    (void)what;
    if (bell->ear && clock_monotonic_us() - bell->wanted_us > QUIET_US)
        close_ear(bell);
    if (bell->ear)
        look_later(bell);
}

void lease_bell_listen(struct lease_bell *bell)
{
    const struct runtime *runtime = bell->runtime;
    struct fault ignored;
    struct pg_conn_options options = {.conninfo = runtime->options.conninfo,
                                      .schema = runtime->schema,
                                      .application_name = runtime->tag,
                                      .connect_timeout_us = runtime->options.connect_timeout_us,
                                      .unnamed_only = runtime->options.unnamed_only};
    bell->wanted_us = clock_monotonic_us();
    if (bell->ear && pg_conn_is_broken(bell->ear))
        close_ear(bell);
    if (bell->ear || runtime->stopping)
        return;
    if (!pg_conn_open(runtime->base, &options, on_up, bell, &bell->ear, &ignored))
        bell->ear = NULL;
    else
        look_later(bell);
}

/* ---- life ---- */

bool lease_bell_new(struct runtime *runtime, struct lease_bell **out, struct fault *fault)
{
    struct lease_bell *bell = calloc(1, sizeof *bell);
    if (!bell)
        return fault_no_memory(fault);
    bell->runtime = runtime;
    bell->timer = event_new(runtime->base, -1, 0, on_timer, bell);
    if (!bell->timer) {
        lease_bell_free(bell);
        return fault_no_memory(fault);
    }
    *out = bell;
    return true;
}

void lease_bell_free(struct lease_bell *bell)
{
    if (!bell)
        return;
    pg_conn_close(bell->ear);
    errand_cancel(bell->errand);
    if (bell->timer)
        event_free(bell->timer);
    free(bell);
}
