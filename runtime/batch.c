/*
 *   CONNECTING --> TAKING --------------> RUNNING <--> ASKING
 *                    \--> LOADING ----------^  \--> SAVING --> over: members are answered
 *   (a waited grant: those behind it join)          |    \---> LOOKING_UP: the answer was lost
 *   from any: an error, or nothing to keep -----> LEAVING --> over
 *
 * A member's fate is decided once; an error of the database makes everyone run again, alone.
 */
#include "batch.h"

#include "batch_broken.h"
#include "batch_lease.h"
#include "batch_state.h"
#include "clock.h"
#include "execution_chain.h"
#include "lock_table.h"
#include "runtime_state.h"
#include "session_reset.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum batch_kind batch_kind(const struct batch *batch)
{
    return batch->kind;
}

int batch_n_members(const struct batch *batch)
{
    return batch->n_members;
}

struct execution *batch_member(const struct batch *batch, int i)
{
    struct member *member = batch->members;
    while (i-- > 0)
        member = member->next;
    return member->execution;
}

void batch_enter(struct batch *batch, enum batch_state state)
{
    busy_poll_end(&batch->runtime->busy_poll, batch);
    batch->state = state;
    if (batch->timer)
        event_del(batch->timer);
}

bool batch_is_alone(const struct batch *batch)
{
    return batch->n_members == 1;
}

/* ---- members ---- */

static int n_entries(const struct execution *execution)
{
    return execution->locks ? lock_set_n_entries(execution->locks) : 0;
}

bool batch_has_room(struct batch *batch, const struct execution *execution)
{
    const struct runtime_options *options = &batch->runtime->options;
    int64_t waiting_us = execution_activity(execution)->waiting_timeout_ms * 1000;
    if (batch->granted_us && waiting_us < batch->waiting_us)
        return false; /* its limits are set, and were those of others */
    if (batch->joined && execution_wants_group(execution))
        return false;
    if (!batch->spare)
        batch->spare = region_take(&batch->region, sizeof *batch->spare);
    if (!batch->spare)
        return false;
    return batch->n_members == 0 || (batch->n_members < options->batch_members_max &&
                                     batch->n_entries + n_entries(execution) <=
                                         lock_table_entries_max(batch->runtime->lock_table));
}

void batch_admit(struct batch *batch, struct execution *execution)
{
    struct member *member = batch->spare;
    int64_t waiting_us = execution_activity(execution)->waiting_timeout_ms * 1000;
    batch->spare = NULL;
    member->execution = execution;
    *batch->members_end = member;
    batch->members_end = &member->next;
    batch->n_members++;
    batch->n_entries += n_entries(execution);
    if (batch->n_members == 1 || waiting_us < batch->waiting_us)
        batch->waiting_us = waiting_us;
    execution->granted_us = 0;
}

void member_drop(struct member *member, enum execution_status status, const char *reason)
{
    member->fate = FATE_DROPPED;
    execution_set_outcome(member->execution, status, reason);
}

void member_again(struct member *member, bool alone, int64_t delay_us)
{
    member->fate = FATE_AGAIN;
    member->delay_us = delay_us;
    member->execution->alone = member->execution->alone || alone;
}

/* ---- connection ---- */

/* An execution of which the host has no other beside it is all that its thread has to do. */
static void await_answer(struct batch *batch)
{
    struct runtime *runtime = batch->runtime;
    bool only = runtime->n_running == 1 && LIST_FIRST(&runtime->batches) == batch &&
                !LIST_NEXT(batch, link);
    if (only && batch->kind != BATCH_WAIT && !scheduler_is_crowded(runtime->scheduler) &&
        busy_poll_begin(&runtime->busy_poll, batch, (int)batch->state, clock_monotonic_us()))
        runtime->figures.n_busy_polls++;
}

void batch_send(struct batch *batch, int64_t timeout_us, pg_answer_fn *done)
{
    struct fault fault;
    if (pg_conn_send(batch->conn, batch->pipeline, timeout_us, done, batch, &fault)) {
        await_answer(batch);
        return;
    }
    struct pg_answer answer = {
        .fault = fault, .failed = -1, .warned = -1, .connection_lost = true, .nothing_sent = true};
    done(&answer, batch);
}

static void on_connection(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct batch *batch = arg;
    batch->request = NULL;
    batch->conn = conn;
    if (!conn) {
        scheduler_batch_ended(batch->runtime->scheduler, batch->kind, fault);
        batch_abandon(batch);
        return;
    }
    scheduler_fill(batch->runtime->scheduler, batch);
    if (batch->n_members == 0)
        batch_end(batch);
    else
        batch_take(batch);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct batch *batch = arg;
    int64_t left_us = batch->wake_us - clock_monotonic_us();
    struct timeval left = clock_timeval_us(left_us);
    (void)fd;
    (void)what;
    if (left_us > 0) /* the loop's clock is coarser than ours */
        event_add(batch->timer, &left);
    else
        batch_run(batch);
}

enum {
    CONNECTION_WAIT_US = 5 * 1000 * 1000,
};

bool batch_start(struct runtime *runtime, enum batch_kind kind, struct fault *fault)
{
    struct batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        return fault_no_memory(fault);
    batch->runtime = runtime;
    batch->kind = kind;
    batch->members_end = &batch->members;
    batch->at_kept = NO_STATEMENT;
    region_init(&batch->region, BATCH_REGION_BYTES_MAX);
    busy_poll_rest(&runtime->busy_poll);
    LIST_INSERT_HEAD(&runtime->batches, batch, link);
    batch->rows = batch_rows_new(&batch->region);
    batch->pipeline = pg_pipeline_new();
    batch->timer = event_new(runtime->base, -1, 0, on_timer, batch);
    batch->spare = region_take(&batch->region, sizeof *batch->spare);
    bool ok = batch->rows && batch->pipeline && batch->timer && batch->spare;
    if (!ok)
        fault_no_memory(fault);
    ok = ok && pg_pool_take(runtime->pool, PG_POOL_ORDINARY, CONNECTION_WAIT_US, on_connection,
                            batch, &batch->request, fault);
    if (!ok)
        batch_abandon(batch);
    return ok;
}

/* ---- the end ---- */

static void free_scripts(struct batch *batch)
{
    for (struct member *member = batch->members; member; member = member->next)
        script_free(member->script);
}

static void free_batch(struct batch *batch)
{
    free_scripts(batch);
    commit_lookup_cancel(batch->lookup);
    batch_broken_free(batch->broken);
    LIST_REMOVE(batch, link);
    batch_rows_free(batch->rows);
    pg_pipeline_free(batch->pipeline);
    if (batch->timer)
        event_free(batch->timer);
    region_done(&batch->region);
    free(batch);
}

/* Writes what their scripts logged, leaves the lock queue and answers. */
static void conclude(struct batch *batch)
{
    for (struct member *member = batch->members; member; member = member->next) {
        if (member->fate != FATE_KEPT && member->fate != FATE_DROPPED)
            continue;
        if (member->script)
            script_flush_log(member->script);
        if (member->fate == FATE_KEPT && batch->committed)
            runtime_go_on(batch->runtime, member->execution);
        else
            runtime_conclude(batch->runtime, member->execution,
                             /* recorded= */ member->fate == FATE_KEPT);
    }
}

/* Those behind them have their turn then, before anybody is answered. */
static void leave_queue(struct batch *batch)
{
    for (struct member *member = batch->members; member; member = member->next)
        if (member->fate == FATE_KEPT || member->fate == FATE_DROPPED)
            execution_leave_queue(member->execution);
}

static void give_back_one(struct scheduler *scheduler, struct member *member)
{
    if (member->fate != FATE_KEPT && member->fate != FATE_DROPPED)
        execution_chain_rewind(member->execution);
    if (member->fate == FATE_REFUSED && member->leased)
        scheduler_refused_by_lease(scheduler, member->execution, member->lease_us);
    else if (member->fate == FATE_REFUSED)
        scheduler_refused(scheduler, member->execution);
    else if (member->fate == FATE_ASIDE)
        scheduler_step_aside(scheduler, member->execution, member->delay_us);
    else if (member->fate == FATE_AGAIN || member->fate == FATE_OPEN)
        scheduler_again(scheduler, member->execution, member->delay_us);
}

/* Gives back those that run again or were refused, the last first, as the lock queue wants it. None
 * that ended may still stand there behind them. */
static void give_back(struct batch *batch, struct member *member)
{
    if (!member)
        return;
    give_back(batch, member->next);
    give_back_one(batch->runtime->scheduler, member);
}

static bool stands_before_any(const struct member *member)
{
    const struct lock_set *locks = member->execution->locks;
    for (const struct member *later = member->next; later; later = later->next)
        if (later->execution->locks && lock_set_conflicts(locks, later->execution->locks))
            return true;
    return false;
}

/* Moves those that were refused to the end of `refused`, the last first; who stays behind one on
 * its path keeps it. Returns the list without them. */
static struct member *without_refused(struct member *member, struct member ***refused_end)
{
    if (!member)
        return NULL;
    member->next = without_refused(member->next, refused_end);
    if (member->fate != FATE_REFUSED || stands_before_any(member))
        return member;
    struct member *next = member->next;
    member->next = NULL;
    **refused_end = member;
    *refused_end = &member->next;
    return next;
}

void batch_give_back_refused(struct batch *batch)
{
    struct member *refused = NULL, **refused_end = &refused, *next;
    batch->members = without_refused(batch->members, &refused_end);
    batch->n_members = 0;
    batch->members_end = &batch->members;
    for (struct member *member = batch->members; member; member = member->next) {
        batch->n_members++;
        batch->members_end = &member->next;
    }
    for (; refused; refused = next) {
        next = refused->next;
        give_back_one(batch->runtime->scheduler, refused);
    }
}

void batch_give_connection(struct batch *batch)
{
    if (batch->conn && batch->ran_sql && !pg_conn_is_pooled(batch->conn))
        session_reset_start(batch->runtime, batch->conn);
    else if (batch->conn)
        pg_pool_give(batch->runtime->pool, batch->conn);
    batch->conn = NULL;
    batch->ran_sql = false;
}

void batch_end(struct batch *batch)
{
    struct runtime *runtime = batch->runtime;
    enum batch_kind kind = batch->kind;
    bool counts = !batch_lease_runs(batch); /* the scheduler has been told already */
    batch_enter(batch, BATCH_OVER);
    batch_give_connection(batch);
    if (batch_lease_stands(batch)) {
        batch_lease_release(batch);
        return;
    }
    free_scripts(batch);
    /* Otherwise answers come first: those answered often come back, and the next batch is larger.
     */
    bool begins_next = counts && scheduler_next_is_full(runtime->scheduler, batch);
    if (begins_next) {
        leave_queue(batch);
        scheduler_batch_ended(runtime->scheduler, kind, /* fault= */ NULL);
        scheduler_go(runtime->scheduler);
    }
    conclude(batch);
    give_back(batch, batch->members);
    batch->members = NULL;
    free_batch(batch);
    if (!counts)
        scheduler_count_lease(runtime->scheduler, -1);
    else if (!begins_next)
        scheduler_batch_ended(runtime->scheduler, kind, /* fault= */ NULL);
}

void batch_abandon(struct batch *batch)
{
    bool sent = batch->state == BATCH_SAVING || batch->state == BATCH_LOOKING_UP;
    if (batch->request)
        pg_pool_cancel(batch->request);
    if (batch->conn) {
        batch_enter(batch, BATCH_OVER);
        pg_pool_give(batch->runtime->pool, batch->conn);
    }
    free_scripts(batch);
    for (struct member *member = batch->members; member; member = member->next) {
        bool perhaps = sent && member->fate == FATE_KEPT;
        if (member->fate != FATE_DROPPED)
            execution_set_outcome(member->execution, perhaps ? STATUS_UNKNOWN : STATUS_FAILED,
                                  "the host stopped before it ended");
    }
    free_batch(batch);
}
