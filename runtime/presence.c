/*
 *   entering:  CONNECTING --> MIGRATING --> first beat sent --> told
 *   leaving:   CONNECTING --> last word sent --> told
 *
 * Both on the reserved connection. One at a time, in runtime->presence.
 */
#include "presence.h"

#include "errand.h"
#include "execution.h"
#include "lock_names.h"
#include "lock_table.h"
#include "locks_sql.h"
#include "migration.h"
#include "overseer.h"
#include "pg_array.h"
#include "runtime_sql.h"
#include "runtime_state.h"
#include "table_foresight.h"
#include "watchdog.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>

enum {
    LEAVE_US = 1000 * 1000,
    TOKENS_BYTES_MAX = 1 << 20,
};

struct presence {
    struct runtime *runtime;
    struct pg_request *request;
    struct pg_conn *conn;
    struct migration *migration;
    struct errand *errand; /* of leaving */
    runtime_present_fn *done;
    void *arg;
};

static const struct sql_text *const migrations[] = {locks_migrations, runtime_migrations};

static bool presence_new(struct runtime *runtime, runtime_present_fn *done, void *arg,
                         struct fault *fault)
{
    assert(!runtime->presence);
    if (runtime->stopping)
        return fault_set(fault, FAULT_CANCELLED, "the host is stopping");
    runtime->presence = calloc(1, sizeof *runtime->presence);
    if (!runtime->presence)
        return fault_no_memory(fault);
    *runtime->presence = (struct presence){.runtime = runtime, .done = done, .arg = arg};
    return true;
}

static void presence_free(struct presence *presence)
{
    struct runtime *runtime = presence->runtime;
    runtime->presence = NULL;
    migration_cancel(presence->migration);
    errand_cancel(presence->errand);
    if (presence->request)
        pg_pool_cancel(presence->request);
    if (presence->conn)
        pg_pool_give(runtime->pool, presence->conn);
    free(presence);
}

/* done may enter again. */
static void tell(struct presence *presence, const struct fault *fault)
{
    runtime_present_fn *done = presence->done;
    void *arg = presence->arg;
    struct fault copy;
    if (fault)
        copy = *fault;
    presence_free(presence);
    done(fault ? &copy : NULL, arg);
}

void presence_abandon(struct runtime *runtime)
{
    struct fault fault;
    if (!runtime->presence)
        return;
    fault_set(&fault, FAULT_CANCELLED, "the host is stopping");
    tell(runtime->presence, &fault);
}

/* ---- entering ---- */

static bool start_parts(struct runtime *runtime, struct fault *fault)
{
    overseer_start(runtime->overseer);
    lock_names_start(runtime->lock_names);
    lock_table_start(runtime->lock_table);
    return !runtime->options.watchdog_us || runtime->watchdog ||
           watchdog_start(runtime->sandbox, runtime->options.log, runtime->options.watchdog_us,
                          &runtime->watchdog, fault);
}

static void on_beaten(struct pg_answer *answer, void *arg)
{
    struct presence *presence = arg;
    struct fault fault = answer->fault;
    bool ok = !fault.kind && !answer->connection_lost;
    pg_pool_give(presence->runtime->pool, presence->conn); /* idle for those that begin now */
    presence->conn = NULL;
    ok = ok && start_parts(presence->runtime, &fault);
    tell(presence, ok ? NULL : &fault);
}

static void on_migrated(int n_applied, const struct fault *fault, void *arg)
{
    struct presence *presence = arg;
    struct fault failed;
    (void)n_applied;
    presence->migration = NULL;
    if (fault)
        tell(presence, fault);
    else if (!overseer_beat_first(presence->runtime->overseer, presence->conn, on_beaten, presence,
                                  &failed))
        tell(presence, &failed);
}

static void on_connection(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct presence *presence = arg;
    struct fault failed;
    presence->request = NULL;
    presence->conn = conn;
    if (!conn)
        tell(presence, fault);
    else if (!migration_start(conn, presence->runtime->schema, migrations,
                              sizeof migrations / sizeof *migrations, on_migrated, presence,
                              &presence->migration, &failed))
        tell(presence, &failed);
}

bool runtime_enter(struct runtime *runtime, int64_t wait_us, runtime_present_fn *done, void *arg,
                   struct fault *fault)
{
    if (!presence_new(runtime, done, arg, fault))
        return false;
    if (pg_pool_take(runtime->pool, PG_POOL_RESERVED, wait_us, on_connection, runtime->presence,
                     &runtime->presence->request, fault))
        return true;
    presence_free(runtime->presence);
    return false;
}

/* ---- leaving ---- */

/* A script that sleeps under a lease is thrown away, and nobody need wait for it. An action may be
 * at work outside, where it is not stopped by that: its lease stands until it expires. */
static bool gives_up_lease(const struct execution *execution)
{
    return execution->token && !execution_activity(execution)->action;
}

static void add_leases(const struct runtime *runtime, struct pg_pipeline *pipeline)
{
    const struct execution *execution;
    struct fault ignored; /* then they expire */
    struct text tokens;
    text_init(&tokens, TOKENS_BYTES_MAX);
    pg_array_begin(&tokens);
    TAILQ_FOREACH(execution, &runtime->executions, by_time)
    {
        if (gives_up_lease(execution))
            pg_array_add_int64(&tokens, execution->token);
    }
    pg_array_end(&tokens);
    const char *params[] = {runtime->process_id, text_chars(&tokens)};
    if (text_ok(&tokens, &ignored))
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_LEASE_LEAVE, 2, params);
    text_done(&tokens);
}

static void on_left(struct pg_answer *answer, void *arg)
{
    struct presence *presence = arg;
    presence->errand = NULL;
    tell(presence, answer->fault.kind ? &answer->fault : NULL);
}

bool runtime_leave(struct runtime *runtime, runtime_present_fn *done, void *arg,
                   struct fault *fault)
{
    const char *params[] = {runtime->process_id};
    if (!presence_new(runtime, done, arg, fault))
        return false;
    overseer_stop(runtime->overseer);
    struct pg_pipeline *pipeline = errand_pipeline();
    if (pipeline) {
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_HOST_RETIRE, 1, params);
        add_leases(runtime, pipeline);
    }
    if (errand_start(runtime, PG_POOL_RESERVED, pipeline, LEAVE_US, LEAVE_US, on_left,
                     runtime->presence, &runtime->presence->errand, fault))
        return true;
    presence_free(runtime->presence);
    return false;
}

/* ---- waiting forms ---- */

struct waiting {
    bool told;
    struct fault fault;
};

static void on_waited(const struct fault *fault, void *arg)
{
    struct waiting *waiting = arg;
    waiting->told = true;
    if (fault)
        waiting->fault = *fault;
}

static bool wait(struct runtime *runtime, struct waiting *waiting, struct fault *fault)
{
    while (!waiting->told)
        event_base_loop(runtime->base, EVLOOP_ONCE);
    if (!waiting->fault.kind)
        return true;
    *fault = waiting->fault;
    return false;
}

bool runtime_start(struct runtime *runtime, int64_t wait_us, struct fault *fault)
{
    struct waiting waiting = {0};
    if (!runtime_enter(runtime, wait_us, on_waited, &waiting, fault) ||
        !wait(runtime, &waiting, fault))
        return false;
    while (table_foresight_runs(runtime)) /* on the connection that what comes next wants */
        event_base_loop(runtime->base, EVLOOP_ONCE);
    return true;
}

void runtime_retire(struct runtime *runtime)
{
    struct waiting waiting = {0};
    struct fault ignored;
    if (!pg_pool_server_version(runtime->pool)) {
        overseer_stop(runtime->overseer); /* it never was there */
        return;
    }
    if (runtime_leave(runtime, on_waited, &waiting, &ignored) && !wait(runtime, &waiting, &ignored))
        return; /* its silence tells it */
}
