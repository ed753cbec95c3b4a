#include "batch_lease.h"

#include "batch_fault.h"
#include "batch_instances.h"
#include "batch_jobs.h"
#include "batch_keys.h"
#include "clock.h"
#include "lease_bell.h"
#include "pg_array.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATHS_BYTES_MAX = 1 << 20,
    RELEASE_ANSWER_US = 5 * 1000 * 1000,
    SAVE_AGAIN_US = 20 * 1000,
};

static const char REQUEST_BEGIN_TEXT[] = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY";
static const char END_BEGIN_TEXT[] = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
static const char EXPIRED_TEXT[] = "held longer than the waiting timeout";

enum lease_phase {
    LEASE_TAKING, /* its rows are written and not committed */
    LEASE_HELD,
    LEASE_GONE,
};

struct batch_lease {
    enum lease_phase phase;
    char token[24];
    char *paths; /* text[]; of the region */
    int n_paths;
    int at_insert;
    batch_lease_then_fn *then; /* FETCHING: with the connection */
};

bool batch_lease_wanted(const struct batch *batch)
{
    const struct member *member = batch->members;
    return batch_is_alone(batch) && member->fate == FATE_OPEN &&
           execution_takes_lease(member->execution);
}

bool batch_lease_is_being_taken(const struct batch *batch)
{
    return batch->lease && batch->lease->phase == LEASE_TAKING;
}

bool batch_lease_stands(const struct batch *batch)
{
    return batch->lease && batch->lease->phase == LEASE_HELD;
}

bool batch_lease_runs(const struct batch *batch)
{
    return batch->lease && batch->lease->phase != LEASE_TAKING;
}

static int64_t left_us(const struct batch *batch)
{
    return batch->deadline_us - clock_monotonic_us();
}

/* ---- taking ---- */

/* All its locks, and the instance, which others can see from the commit on. */
static bool list_paths(struct batch *batch, struct fault *fault)
{
    const struct execution *execution = batch->members->execution;
    char own[UUID_TEXT_BYTES + 16];
    bool has_own = false;
    struct text paths;
    text_init(&paths, PATHS_BYTES_MAX);
    pg_array_begin(&paths);
    snprintf(own, sizeof own, "$instance/%s", execution->id);
    for (int i = 0; i < lock_set_n_paths(execution->locks); i++) {
        const char *path = lock_set_path(execution->locks, i);
        has_own = has_own || strcmp(path, own) == 0;
        pg_array_add(&paths, path);
    }
    if (!has_own) /* learnt late that it takes a lease: nobody knows of the instance yet */
        pg_array_add(&paths, own);
    pg_array_end(&paths);
    batch->lease->n_paths = lock_set_n_paths(execution->locks) + !has_own;
    batch->lease->paths = region_copy_chars(&batch->region, text_chars(&paths));
    bool ok = text_ok(&paths, fault) && (batch->lease->paths || fault_no_memory(fault));
    text_done(&paths);
    return ok;
}

static void add_insert(struct batch *batch)
{
    const struct execution *execution = batch->members->execution;
    const char *params[] = {batch->lease->paths,
                            batch->attempt,
                            batch->runtime->process_id,
                            execution->id,
                            execution->workflow->definition->name,
                            execution_activity(execution)->name,
                            batch->deadline};
    batch->lease->at_insert =
        pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_LEASE_INSERT, 7, params);
}

/* An instance that an event woke stays idle until its activity is committed: if this host dies, the
 * event can be sent again. */
static bool keeps_its_event(const struct execution *execution)
{
    return execution->origin == ORIGIN_EVENT && execution->first;
}

static bool add_commit_point(struct batch *batch, struct fault *fault)
{
    struct execution *execution = batch->members->execution;
    const struct definition *definition = execution->workflow->definition;
    if (keeps_its_event(execution))
        return true;
    instance_stage_as_is(&execution->instance,
                         (int)(execution_activity(execution) - definition->activities));
    batch_jobs_add_going_on(batch);
    return batch_instances_add_saves(batch, fault) && batch_keys_add_saves(batch, fault);
}

static void on_written(struct pg_answer *answer, void *arg)
{
    struct batch *batch = arg;
    struct batch_lease *lease = batch->lease;
    if (answer->fault.kind || answer->connection_lost) {
        batch_failed(batch, answer);
        return;
    }
    /* The token is known before COMMIT is sent: whatever becomes of its answer. */
    snprintf(lease->token, sizeof lease->token, "%s",
             PQgetvalue(answer->results[lease->at_insert], 0, 0));
    pg_pipeline_clear(batch->pipeline);
    batch_commit(batch);
}

void batch_lease_take(struct batch *batch)
{
    struct fault fault;
    struct member *member = batch->members;
    batch->lease = region_take(&batch->region, sizeof *batch->lease);
    member->fate = FATE_KEPT; /* its state as it is, by this commit */
    uuid_draw(&batch->runtime->uuids, batch->attempt);
    pg_pipeline_clear(batch->pipeline);
    batch_add_limits(batch);
    bool ok = batch->lease ? list_paths(batch, &fault) : fault_no_memory(&fault);
    if (ok)
        add_insert(batch);
    ok = ok && add_commit_point(batch, &fault);
    if (!ok) {
        batch_drop_all(batch, STATUS_FAILED, fault.text);
        batch_leave(batch);
        return;
    }
    batch_add_mark(batch);
    batch_add_commit_checks(batch);
    batch_enter(batch, BATCH_LEASING);
    int64_t limit_us = left_us(batch);
    batch_send(batch, (limit_us > 0 ? limit_us : 0) + BATCH_GRACE_US, on_written);
}

void batch_lease_taken(struct batch *batch)
{
    struct member *member = batch->members;
    struct execution *execution = member->execution;
    batch->lease->phase = LEASE_HELD;
    batch->lost_us = 0;
    member->fate = FATE_OPEN;
    execution->token = strtoll(batch->lease->token, NULL, 10);
    if (!keeps_its_event(execution))
        instance_adopt(&execution->instance, /* stored= */ true);
    batch_give_connection(batch);
    batch_rows_keep_as_read(batch->rows);
    scheduler_count_lease(batch->runtime->scheduler, 1);
    scheduler_batch_ended(batch->runtime->scheduler, batch->kind, /* fault= */ NULL);
    batch_run(batch);
}

/* ---- connections ---- */

static void end_without_connection(struct batch *batch, const struct fault *fault)
{
    if (left_us(batch) <= 0)
        batch_drop_all(batch, STATUS_EXPIRED, EXPIRED_TEXT);
    else
        batch_drop_all(batch, STATUS_FAILED, fault->text);
    if (batch->running)
        batch_end_running(batch);
    batch_end(batch);
}

static void on_connection(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct batch *batch = arg;
    batch->request = NULL;
    batch->conn = conn;
    if (conn && left_us(batch) > 0)
        batch->lease->then(batch);
    else
        end_without_connection(batch, fault);
}

void batch_lease_fetch(struct batch *batch, batch_lease_then_fn *then)
{
    struct fault fault;
    int64_t wait_us = left_us(batch);
    batch->lease->then = then;
    batch_enter(batch, BATCH_FETCHING);
    if (!pg_pool_take(batch->runtime->pool, PG_POOL_FIRST, wait_us > 0 ? wait_us : 0, on_connection,
                      batch, &batch->request, &fault))
        end_without_connection(batch, &fault);
}

void batch_lease_begin_request(struct batch *batch)
{
    pg_pipeline_clear(batch->pipeline);
    batch_add_begin(batch, REQUEST_BEGIN_TEXT, left_us(batch));
    batch_add_limits(batch);
}

/* ---- the end ---- */

bool batch_lease_add_end(struct batch *batch, struct fault *fault)
{
    char count[16];
    struct batch_lease *lease = batch->lease;
    const char *params[] = {lease->paths, lease->token, count};
    snprintf(count, sizeof count, "%d", lease->n_paths);
    batch_add_begin(batch, END_BEGIN_TEXT, left_us(batch));
    batch_add_limits(batch);
    pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_LEASE_END, 3, params);
    return pg_pipeline_ok(batch->pipeline) || fault_no_memory(fault);
}

bool batch_lease_goes_on(struct batch *batch, const struct pg_answer *answer)
{
    enum fault_meaning meaning = batch_fault_meaning(&answer->fault);
    bool passes = meaning == MEANS_COLLISION || meaning == MEANS_OVERDUE || meaning == MEANS_AWAY;
    if (!batch_lease_stands(batch) || batch->members->fate != FATE_KEPT || !passes)
        return false;
    if (left_us(batch) <= SAVE_AGAIN_US) {
        batch_drop_all(batch, STATUS_EXPIRED, EXPIRED_TEXT);
        if (answer->connection_lost)
            batch_end(batch);
        else
            batch_leave(batch);
        return true;
    }
    struct timeval pause = clock_timeval_us((int64_t)(SAVE_AGAIN_US * (0.5 + clock_jitter())));
    batch_give_connection(batch); /* one inside a transaction is closed */
    batch->lost_us = 0;
    batch_enter(batch, BATCH_RUNNING);
    batch->wake_us = 0;
    event_add(batch->timer, &pause); /* nothing runs any more: it saves */
    return true;
}

void batch_lease_ended(struct batch *batch)
{
    if (!batch_lease_stands(batch))
        return;
    batch->lease->phase = LEASE_GONE;
    lease_bell_ring(batch->runtime->lease_bell);
}

/* ---- nothing is kept ---- */

static void end_released(struct batch *batch)
{
    struct member *member = batch->members;
    batch_lease_ended(batch);
    if (member->fate == FATE_AGAIN || member->fate == FATE_ASIDE)
        member->execution->token = 0;
    batch_end(batch);
}

static void on_released(struct pg_answer *answer, void *arg)
{
    struct batch *batch = arg;
    batch_give_connection(batch);
    if (answer->fault.kind && left_us(batch) > 0)
        batch_lease_release(batch);
    else
        end_released(batch);
}

static void on_release_connection(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct batch *batch = arg;
    const char *params[] = {batch->lease->paths, batch->lease->token};
    (void)fault;
    batch->request = NULL;
    batch->conn = conn;
    if (!conn) {
        end_released(batch); /* its time is over, or there is no way to the database */
        return;
    }
    pg_pipeline_clear(batch->pipeline);
    pg_pipeline_begin(batch->pipeline);
    pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_LEASE_RELEASE, 2, params);
    pg_pipeline_commit(batch->pipeline);
    batch_enter(batch, BATCH_RELEASING);
    batch_send(batch, RELEASE_ANSWER_US, on_released);
}

void batch_lease_release(struct batch *batch)
{
    struct fault fault;
    int64_t wait_us = left_us(batch);
    batch_enter(batch, BATCH_FETCHING);
    if (!pg_pool_take(batch->runtime->pool, PG_POOL_FIRST, wait_us > 0 ? wait_us : 0,
                      on_release_connection, batch, &batch->request, &fault))
        end_released(batch);
}
