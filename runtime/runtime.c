#include "runtime.h"

#include "action_run.h"
#include "batch.h"
#include "clock.h"
#include "event_emit.h"
#include "execution.h"
#include "execution_lock.h"
#include "instance_lookup.h"
#include "job_enqueue.h"
#include "job_retry.h"
#include "job_runner.h"
#include "key_follow.h"
#include "lease_bell.h"
#include "lease_sweep.h"
#include "lock_names.h"
#include "lock_peek.h"
#include "lock_table.h"
#include "overseer.h"
#include "presence.h"
#include "recorder.h"
#include "retention.h"
#include "row_memory.h"
#include "runtime_inquiry.h"
#include "runtime_sql.h"
#include "runtime_state.h"
#include "sandbox.h"
#include "scheduler.h"
#include "script.h"
#include "script_place.h"
#include "session_reset.h"
#include "table_foresight.h"
#include "watchdog.h"
#include "workflow_loader.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_UP_TABLES_US = 10 * 1000 * 1000,
    LOOKS_LOST_MAX = 5, /* connections that a look-up of tables may lose in a row */
    QUERY_US = 30 * 1000 * 1000,
    TRUST_TABLES_US = 2 * 1000 * 1000, /* what the catalogue said of a table in use */
};

struct runtime_options runtime_default_options(void)
{
    return (struct runtime_options){
        .conninfo = "",
        .schema = "latchkey",
        .pool_size = 12,
        .waiters = 3,
        .queue_after_us = 50 * 1000,
        .batch_members_max = 128,
        .batch_share_least = 64, /* smaller ones cost more than they gain by running side by side */
        .batch_linger_us = 5 * 1000,
        .row_memory_us = 1000 * 1000,
        .busy_poll_us = 750,
        .batch_entries_max = 1024,
        .connect_timeout_us = 5 * 1000 * 1000,
        .lease_poll_us = 1000 * 1000,
        .leases_max = 1000,
        .look_up_us = 10 * 1000 * 1000,
        .ownership_us = 30 * 1000 * 1000,
        .answer_bytes_max = 32 << 20,
        .watchdog_us = 5 * 1000 * 1000,
    };
}

/* ---- life ---- */

static bool copy_options(struct runtime *runtime, const struct runtime_options *options)
{
    runtime->options = *options;
    runtime->options.conninfo = strdup(options->conninfo);
    runtime->options.schema = strdup(options->schema);
    runtime->schema = runtime->options.schema;
    return runtime->options.conninfo && runtime->options.schema;
}

static bool make_parts(struct runtime *runtime, struct fault *fault)
{
    const struct runtime_options *options = &runtime->options;
    struct sandbox_limits limits = sandbox_default_limits();
    struct pg_pool_options pool = {
        .conn = {.conninfo = options->conninfo,
                 .schema = options->schema,
                 .application_name = runtime->tag,
                 .connect_timeout_us = options->connect_timeout_us,
                 .answer_bytes_max = options->answer_bytes_max,
                 .unnamed_only = options->unnamed_only},
        .max_connections = options->pool_size,
    };
    return sandbox_new(&limits, &runtime->sandbox, fault) &&
           sandbox_offer(runtime->sandbox, script_functions_open, fault) &&
           scope_new(runtime->sandbox, &runtime->scope, fault) &&
           pg_pool_new(runtime->base, &pool, &runtime->pool, fault) &&
           catalogue_new(&runtime->catalogue, fault) &&
           workflow_loader_new(runtime, &runtime->loader, fault) &&
           scheduler_new(runtime, &runtime->scheduler, fault) &&
           recorder_new(runtime, &runtime->recorder, fault) &&
           overseer_new(runtime, &runtime->overseer, fault) &&
           lease_bell_new(runtime, &runtime->lease_bell, fault) &&
           lease_sweep_new(runtime, &runtime->lease_sweep, fault) &&
           lock_names_new(runtime, &runtime->lock_names, fault) &&
           busy_poll_open(&runtime->busy_poll, runtime->base, runtime->options.busy_poll_us,
                          fault) &&
           row_memory_new(&runtime->row_memory, fault) &&
           lock_table_new(runtime, &runtime->lock_table, fault);
}

bool runtime_new(struct event_base *base, const struct runtime_options *options,
                 struct runtime **out, struct fault *fault)
{
    struct runtime *runtime = calloc(1, sizeof *runtime);
    if (!runtime)
        return fault_no_memory(fault);
    runtime->base = base;
    LIST_INIT(&runtime->workflows);
    TAILQ_INIT(&runtime->executions);
    LIST_INIT(&runtime->batches);
    LIST_INIT(&runtime->resets);
    LIST_INIT(&runtime->lookups);
    LIST_INIT(&runtime->enqueues);
    LIST_INIT(&runtime->actions);
    LIST_INIT(&runtime->retries);
    LIST_INIT(&runtime->peeks);
    LIST_INIT(&runtime->inquiries);
    LIST_INIT(&runtime->emissions);
    LIST_INIT(&runtime->publishings);
    LIST_INIT(&runtime->reloads);
    LIST_INIT(&runtime->refreshes);
    uuid_draw(&runtime->uuids, runtime->process_id);
    /* the last eight digits are random; the first ones are the time */
    snprintf(runtime->tag, sizeof runtime->tag, "latchkey %s",
             runtime->process_id + strlen(runtime->process_id) - 8);
    if (!copy_options(runtime, options)) {
        runtime_free(runtime);
        return fault_no_memory(fault);
    }
    if (!make_parts(runtime, fault)) {
        runtime_free(runtime);
        return false;
    }
    *out = runtime;
    return true;
}

static void stop_everything(struct runtime *runtime)
{
    struct execution *execution;
    struct workflow *workflow;
    runtime->stopping = true;
    presence_abandon(runtime);
    table_foresight_stop(runtime);
    runtime_stop_definitions(runtime);
    if (runtime->loader)
        workflow_loader_abandon(runtime->loader);
    if (runtime->recorder)
        recorder_abandon(runtime->recorder);
    while (!LIST_EMPTY(&runtime->batches))
        batch_abandon(LIST_FIRST(&runtime->batches));
    while (!LIST_EMPTY(&runtime->resets))
        session_reset_cancel(LIST_FIRST(&runtime->resets));
    if (runtime->runner)
        job_runner_abandon(runtime->runner);
    if (runtime->retention)
        retention_stop(runtime->retention);
    instance_lookup_abandon_all(runtime);
    job_enqueue_abandon_all(runtime);
    job_retry_abandon_all(runtime);
    lock_peek_abandon_all(runtime);
    event_emit_abandon_all(runtime);
    runtime_inquiry_abandon_all(runtime);
    LIST_FOREACH(workflow, &runtime->workflows, link)
    {
        if (workflow->tables_request)
            pg_pool_cancel(workflow->tables_request);
        if (workflow->tables_conn)
            pg_pool_give(runtime->pool, workflow->tables_conn);
    }
    while ((execution = TAILQ_FIRST(&runtime->executions))) {
        if (execution->status == STATUS_COMPLETED && !execution->reason)
            execution_set_outcome(execution, STATUS_FAILED, "the host stopped before it ended");
        execution_answer(execution);
    }
}

void runtime_free(struct runtime *runtime)
{
    if (!runtime)
        return;
    stop_everything(runtime);
    job_runner_free(runtime->runner);
    retention_free(runtime->retention);
    watchdog_free(runtime->watchdog);
    overseer_free(runtime->overseer);
    lease_bell_free(runtime->lease_bell);
    lease_sweep_free(runtime->lease_sweep);
    lock_names_free(runtime->lock_names);
    row_memory_free(runtime->row_memory);
    busy_poll_close(&runtime->busy_poll);
    lock_table_free(runtime->lock_table);
    recorder_free(runtime->recorder);
    scheduler_free(runtime->scheduler);
    workflow_loader_free(runtime->loader);
    while (!LIST_EMPTY(&runtime->workflows)) {
        struct workflow *workflow = LIST_FIRST(&runtime->workflows);
        LIST_REMOVE(workflow, link);
        workflow_free(workflow);
    }
    catalogue_free(runtime->catalogue);
    pg_pool_free(runtime->pool);
    script_place_free_all(runtime);
    scope_free(runtime->scope);
    sandbox_free(runtime->sandbox);
    action_run_forget_all(runtime);
    free((char *)runtime->options.conninfo);
    free((char *)runtime->options.schema);
    free(runtime);
}

/* ---- waiting forms ---- */

struct taking {
    struct runtime *runtime;
    bool told;
    struct pg_conn *conn;
    struct fault fault;
};

static void on_taken_now(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct taking *taking = arg;
    taking->told = true;
    taking->conn = conn;
    if (!conn)
        taking->fault = *fault;
    event_base_loopbreak(taking->runtime->base);
}

static bool take_now(struct runtime *runtime, int64_t wait_us, struct pg_conn **out,
                     struct fault *fault)
{
    struct taking taking = {.runtime = runtime};
    struct pg_request *request;
    if (!pg_pool_take(runtime->pool, PG_POOL_RESERVED, wait_us, on_taken_now, &taking, &request,
                      fault))
        return false;
    while (!taking.told)
        event_base_loop(runtime->base, EVLOOP_ONCE);
    if (!taking.conn) {
        *fault = taking.fault;
        return false;
    }
    *out = taking.conn;
    return true;
}

struct sandbox *runtime_sandbox(struct runtime *runtime)
{
    return runtime->sandbox;
}

bool runtime_query(struct runtime *runtime, const char *text, int n_params,
                   const char *const *params, struct pg_result **out, struct fault *fault)
{
    struct pg_conn *conn = NULL;
    struct pg_answer answer;
    struct pg_pipeline *pipeline = pg_pipeline_new();
    if (!pipeline)
        return fault_no_memory(fault);
    pg_pipeline_add(pipeline, PG_PREPARED, text, n_params, params);
    bool ok = take_now(runtime, QUERY_US, &conn, fault);
    if (ok) {
        ok = pg_conn_call(runtime->base, conn, pipeline, QUERY_US, &answer, fault);
        pg_pool_give(runtime->pool, conn);
    }
    pg_pipeline_free(pipeline);
    if (!ok)
        return false;
    *out = answer.results[0];
    answer.results[0] = NULL;
    pg_answer_done(&answer);
    return true;
}

/* ---- tables of a workflow ---- */

static void enter_queues(struct runtime *runtime, struct execution *execution)
{
    if (execution_lock_uses_data(execution))
        lock_peek_start(runtime, execution);
    else
        scheduler_add(runtime->scheduler, execution);
}

static void schedule_waiting(struct workflow *workflow, const struct fault *fault)
{
    struct runtime *runtime = workflow->runtime;
    struct execution *execution;
    TAILQ_HEAD(, execution) waiting;
    TAILQ_INIT(&waiting);
    TAILQ_CONCAT(&waiting, &workflow->awaiting_tables, link);
    while ((execution = TAILQ_FIRST(&waiting))) {
        TAILQ_REMOVE(&waiting, execution, link);
        if (!fault) {
            enter_queues(runtime, execution);
            continue;
        }
        execution_set_outcome(
            execution, fault->kind == FAULT_INVALID ? STATUS_INVALID : STATUS_FAILED, fault->text);
        runtime_conclude(runtime, execution, /* recorded= */ false);
    }
}

static void look_up_tables(struct workflow *workflow);

/* With tables that are known already only a look-up that finds something wrong changes anything. */
static void end_look_up(struct workflow *workflow, const struct fault *fault)
{
    bool kept = workflow->tables == TABLES_KNOWN && fault->kind && fault->kind != FAULT_INVALID;
    workflow->n_looks_lost = 0;
    workflow->tables_until_us = clock_monotonic_us() + TRUST_TABLES_US;
    if (!kept) {
        workflow->tables = fault->kind ? TABLES_UNKNOWN : TABLES_KNOWN;
        workflow->tables_fault = *fault;
    }
    schedule_waiting(workflow, fault->kind ? fault : NULL);
}

static void on_tables(struct pg_answer *answer, void *arg)
{
    struct workflow *workflow = arg;
    struct runtime *runtime = workflow->runtime;
    struct fault fault = answer->fault;
    pg_pool_give(runtime->pool, workflow->tables_conn);
    workflow->tables_conn = NULL;
    if (answer->connection_lost && ++workflow->n_looks_lost < LOOKS_LOST_MAX) {
        look_up_tables(workflow);
        return;
    }
    if (!fault.kind && workflow_learn_tables(workflow, runtime->catalogue, runtime->schema,
                                             answer->results, &fault))
        fault = (struct fault){0};
    end_look_up(workflow, &fault);
}

static void on_tables_connection(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct workflow *workflow = arg;
    struct fault failed;
    workflow->tables_request = NULL;
    workflow->tables_conn = conn;
    if (!conn) {
        failed = *fault;
        end_look_up(workflow, &failed);
        return;
    }
    struct pg_pipeline *pipeline = pg_pipeline_new();
    bool ok = pipeline != NULL;
    for (int i = 0; ok && i < workflow->definition->n_data; i++)
        catalogue_ask(pipeline, workflow->definition->data[i].table);
    if (!ok)
        fault_no_memory(&failed);
    ok = ok && pg_conn_send(conn, pipeline, LOOK_UP_TABLES_US, on_tables, workflow, &failed);
    pg_pipeline_free(pipeline);
    if (!ok) {
        struct pg_answer answer = {.fault = failed};
        on_tables(&answer, workflow);
    }
}

static void look_up_tables(struct workflow *workflow)
{
    struct fault fault;
    if (workflow->tables_request || workflow->tables_conn)
        return;
    if (workflow->tables == TABLES_UNKNOWN)
        workflow->tables = TABLES_ASKED;
    if (!pg_pool_take(workflow->runtime->pool, PG_POOL_ORDINARY, LOOK_UP_TABLES_US,
                      on_tables_connection, workflow, &workflow->tables_request, &fault))
        end_look_up(workflow, &fault);
}

bool runtime_has_tables(struct workflow *workflow, struct fault *fault)
{
    *fault = (struct fault){0};
    if (workflow->tables == TABLES_KNOWN)
        return true;
    if (workflow->tables == TABLES_UNKNOWN && workflow->tables_fault.kind == FAULT_INVALID)
        *fault = workflow->tables_fault;
    else
        look_up_tables(workflow);
    return false;
}

void runtime_forget_tables(struct runtime *runtime)
{
    struct workflow *workflow;
    catalogue_forget(runtime->catalogue);
    runtime->foreseen_until_us = 0;
    LIST_FOREACH(workflow, &runtime->workflows, link)
    {
        workflow_forget_tables(workflow);
    }
}

void runtime_expect(struct runtime *runtime, const struct definition *definition)
{
    table_foresight_start(runtime, definition);
}

/* ---- executions ---- */

bool runtime_submit(struct runtime *runtime, const struct submission *submission,
                    struct fault *fault)
{
    struct execution *execution = NULL;
    bool refused = false;
    if (runtime->stopping)
        return fault_set(fault, FAULT_CANCELLED, "the host is stopping");
    if (!execution_new(runtime, submission, &execution, &refused, fault))
        return false;
    if (refused)
        runtime_conclude(runtime, execution, /* recorded= */ false);
    else
        runtime_prepare(runtime, execution);
    return true;
}

/* At the start of a host. */
static void recall_tables(struct workflow *workflow)
{
    if (workflow->tables == TABLES_UNKNOWN && !workflow->tables_fault.kind &&
        table_foresight_holds(workflow->runtime) &&
        workflow_recall_tables(workflow, workflow->runtime->catalogue))
        workflow->tables_until_us = workflow->runtime->foreseen_until_us;
}

void runtime_prepare(struct runtime *runtime, struct execution *execution)
{
    struct workflow *workflow = execution->workflow;
    recall_tables(workflow);
    if (workflow->tables == TABLES_KNOWN) {
        if (workflow->definition->n_data && clock_monotonic_us() > workflow->tables_until_us)
            look_up_tables(workflow); /* beside the work: a trigger may have been added */
        enter_queues(runtime, execution);
        return;
    }
    execution->state = EXECUTION_PREPARING;
    TAILQ_INSERT_TAIL(&workflow->awaiting_tables, execution, link);
    look_up_tables(workflow);
}

void runtime_conclude(struct runtime *runtime, struct execution *execution, bool recorded)
{
    execution_leave_queue(execution);
    if (runtime->stopping)
        return;
    if (*execution->follow && key_follow(execution))
        return;
    if (recorded)
        execution_answer(execution);
    else
        recorder_add(runtime->recorder, execution);
}

void runtime_go_on(struct runtime *runtime, struct execution *execution)
{
    bool refused;
    if (!execution_committed(execution, &refused))
        runtime_conclude(runtime, execution, /* recorded= */ true);
    else if (refused)
        runtime_conclude(runtime, execution, /* recorded= */ false);
    else
        runtime_prepare(runtime, execution);
}

bool runtime_work(struct runtime *runtime, const struct background_options *options,
                  struct fault *fault)
{
    return (runtime->runner || job_runner_new(runtime, options, &runtime->runner, fault)) &&
           (runtime->retention || retention_new(runtime, options, &runtime->retention, fault));
}

void runtime_drain(struct runtime *runtime)
{
    runtime->draining = true;
    if (runtime->runner)
        job_runner_drain(runtime->runner);
    if (runtime->retention)
        retention_stop(runtime->retention);
}

bool runtime_is_draining(const struct runtime *runtime)
{
    return runtime->draining;
}

int runtime_n_running(const struct runtime *runtime)
{
    return runtime->n_running;
}

const char *runtime_process_id(const struct runtime *runtime)
{
    return runtime->process_id;
}
