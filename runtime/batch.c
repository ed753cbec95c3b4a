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
#include "batch_chain.h"
#include "batch_fault.h"
#include "batch_keys.h"
#include "batch_lease.h"
#include "batch_relock.h"
#include "batch_state.h"
#include "clock.h"
#include "declared_data.h"
#include "execution_chain.h"
#include "execution_lock.h"
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

void batch_send(struct batch *batch, int64_t timeout_us, pg_answer_fn *done)
{
    struct fault fault;
    if (pg_conn_send(batch->conn, batch->pipeline, timeout_us, done, batch, &fault))
        return;
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
    region_init(&batch->region, BATCH_REGION_BYTES_MAX);
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

/* Gives back those that run again or were refused, the last first, as the lock queue wants it. None
 * that ended may still stand there behind them. */
static void give_back(struct batch *batch, struct member *member)
{
    if (!member)
        return;
    give_back(batch, member->next);
    if (member->fate != FATE_KEPT && member->fate != FATE_DROPPED)
        execution_chain_rewind(member->execution);
    struct scheduler *scheduler = batch->runtime->scheduler;
    if (member->fate == FATE_REFUSED && member->leased)
        scheduler_refused_by_lease(scheduler, member->execution, member->lease_us);
    else if (member->fate == FATE_REFUSED)
        scheduler_refused(scheduler, member->execution);
    else if (member->fate == FATE_ASIDE)
        scheduler_step_aside(scheduler, member->execution, member->delay_us);
    else if (member->fate == FATE_AGAIN || member->fate == FATE_OPEN)
        scheduler_again(scheduler, member->execution, member->delay_us);
}

void batch_give_connection(struct batch *batch)
{
    if (batch->conn && batch->ran_sql)
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
    conclude(batch);
    give_back(batch, batch->members);
    batch->members = NULL;
    free_batch(batch);
    if (counts)
        scheduler_batch_ended(runtime->scheduler, kind, /* fault= */ NULL);
    else
        scheduler_count_lease(runtime->scheduler, -1);
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

/* ---- running ---- */

enum {
    LOOP_BUSY_US = 5 * 1000, /* after so long the loop turns before more scripts run */
};

static bool conflicts(const struct execution *a, const struct execution *b)
{
    return a->locks && b->locks && lock_set_conflicts(a->locks, b->locks);
}

/* Those behind it on conflicting paths may not overtake it, or what they loaded is old. */
static void hold_back_later(struct member *member, enum member_fate fate)
{
    for (struct member *later = member->next; later; later = later->next) {
        if (later->fate == FATE_OPEN && conflicts(member->execution, later->execution)) {
            later->fate = fate;
            hold_back_later(later, fate);
        }
    }
}

static bool share_a_row(const struct batch *batch, const struct member *a, const struct member *b)
{
    if (!a->slots || !b->slots)
        return false; /* one that parks loads nothing */
    for (int i = 0; i < a->execution->workflow->definition->n_data; i++)
        for (int j = 0; j < b->execution->workflow->definition->n_data; j++)
            if (batch_rows_share(batch->rows, a->slots[i], b->slots[j]))
                return true;
    return false;
}

/* After a change whose effect only the database knows. Without a common path two members may still
 * have loaded the same row. */
static void hold_back_sharers(struct batch *batch, struct member *member)
{
    hold_back_later(member, FATE_AGAIN);
    for (struct member *later = member->next; later; later = later->next) {
        if (later->fate == FATE_OPEN && share_a_row(batch, member, later)) {
            later->fate = FATE_AGAIN;
            hold_back_later(later, FATE_AGAIN);
        }
    }
}

void batch_hold_back(struct batch *batch)
{
    for (struct member *member = batch->members; member; member = member->next)
        if (member->fate == FATE_REFUSED || member->fate == FATE_AGAIN)
            hold_back_later(member, member->fate);
}

void member_drop_for_fault(struct member *member, const struct fault *fault)
{
    enum execution_status status = STATUS_FAILED;
    switch (fault->kind) {
    case FAULT_INVALID: status = STATUS_INVALID; break;
    case FAULT_MISSING: status = STATUS_MISSING; break;
    case FAULT_NONE:
    case FAULT_CONFLICT:
    case FAULT_DATABASE:
    case FAULT_SCRIPT:
    case FAULT_EXHAUSTED:
    case FAULT_CANCELLED:
    case FAULT_UNKNOWN: break;
    }
    member_drop(member, status, fault->text);
    if (fault->kind != FAULT_DATABASE && fault->kind != FAULT_CANCELLED)
        member->execution->cause =
            member->script && script_called_fail(member->script) ? CAUSE_REASON : CAUSE_SCRIPT;
}

enum {
    RETRY_FIRST_US = 100 * 1000,
    RETRY_SHIFT_MAX = 6,
};

/* The script raised: again, if the activity has retries left. */
static void member_fail(struct member *member, const struct fault *fault)
{
    struct execution *execution = member->execution;
    if (fault->kind != FAULT_SCRIPT ||
        execution->failures >= execution_activity(execution)->retries) {
        member_drop_for_fault(member, fault);
        return;
    }
    int shift = execution->failures < RETRY_SHIFT_MAX ? execution->failures : RETRY_SHIFT_MAX;
    execution->failures++;
    execution_set_outcome(execution, STATUS_FAILED, fault->text);
    execution_renew_time(execution);
    member_again(member, /* alone= */ true,
                 (int64_t)((double)((int64_t)RETRY_FIRST_US << shift) * (0.5 + clock_jitter())));
}

bool batch_keep_changes(struct batch *batch, struct member *member, struct fault *fault)
{
    const struct activity *activity = execution_activity(member->execution);
    enum version_check check =
        activity->on_conflict == ON_CONFLICT_OVERWRITE ? VERSION_IGNORED : VERSION_CHECKED;
    for (int i = 0; i < script_n_changes(member->script); i++)
        if (!batch_rows_keep(batch->rows, script_change(member->script, i), check, fault))
            return false;
    return true;
}

/* Where the workflow goes from here, staged on the instance. */
static bool stage_next(struct member *member, json_t *vars, json_t *output, struct fault *fault)
{
    struct execution *execution = member->execution;
    const struct definition *definition = execution->workflow->definition;
    enum instance_step step = STEP_ENDS;
    int next;
    if (!script_navigate(member->script, vars, &next, fault))
        return false;
    if (next >= 0)
        step = definition->activities[next].wait_for ? STEP_IDLES : STEP_GOES_ON;
    else
        next = (int)(execution_activity(execution) - definition->activities);
    instance_stage(&execution->instance, step, next, vars, output);
    return true;
}

/* False if the member goes on, with the next activity of a chain. */
static bool end_member_well(struct batch *batch, struct member *member, struct fault *fault)
{
    json_t *output = NULL, *vars = NULL;
    if (!script_settle(member->script, fault) || !script_output(member->script, &output, fault) ||
        !script_vars(member->script, &vars, fault) || !stage_next(member, vars, output, fault)) {
        json_decref(output);
        json_decref(vars);
        member_fail(member, fault);
        return true;
    }
    if (!batch_keep_changes(batch, member, fault)) {
        batch->failing = true; /* half of its changes may be kept in memory: nothing is saved */
        member_drop_for_fault(member, fault);
        return true;
    }
    if (execution_chain_continues(member->execution)) {
        batch_chain_step(batch);
        return false;
    }
    member->fate = FATE_KEPT;
    batch_keys_hold_back(batch, member);
    member->execution->plan->spreads = batch_rows_take_spread(batch->rows);
    if (member->execution->plan->spreads)
        hold_back_sharers(batch, member);
    return true;
}

/* Its log lines stay until the outcome is final. */
void batch_end_running(struct batch *batch)
{
    script_free(batch->running->script);
    batch->running = NULL;
}

static void rest(struct batch *batch, int64_t duration_us)
{
    int64_t now_us = clock_monotonic_us();
    int64_t wake_us = now_us + duration_us;
    batch->wake_us = wake_us < batch->deadline_us ? wake_us : batch->deadline_us;
    struct timeval pause = clock_timeval_us(batch->wake_us - now_us);
    event_add(batch->timer, &pause);
}

/* Perhaps its one member came to a plain batch, of which there are few, and now stays long. */
static void stand_alone(struct batch *batch)
{
    struct execution *execution = batch->running->execution;
    execution->alone = true;
    batch->kind = scheduler_becomes(batch->runtime->scheduler, batch->kind, execution);
    batch->limits_stand = false; /* it may wait longer for rows now */
}

/* What the script did. True if the member has ended, false if it goes on later. */
static bool script_went(struct batch *batch, struct member *member, enum script_state state,
                        struct fault *fault)
{
    bool alone = batch_is_alone(batch);
    switch (state) {
    case SCRIPT_ENDED:
        if (!end_member_well(batch, member, fault))
            return false;
        break;
    case SCRIPT_BLOCKED: member_drop(member, STATUS_BLOCKED, "the guard said no"); break;
    case SCRIPT_FAILED: member_fail(member, fault); break;
    case SCRIPT_ASKS:
        if (script_request(member->script)->kind == REQUEST_TOKEN) {
            member->execution->plan->needs_lease = true;
            member_again(member, /* alone= */ true, 0);
            hold_back_later(member, FATE_AGAIN);
            break;
        }
        member->execution->plan->needs_alone = true;
        if (alone) {
            stand_alone(batch);
            batch_ask(batch);
            return false;
        }
        member_again(member, /* alone= */ true, 0);
        hold_back_later(member, FATE_AGAIN);
        break;
    case SCRIPT_SLICED:
        if (alone) {
            stand_alone(batch);
            rest(batch, script_pause_us(member->script));
            return false;
        }
        member_again(member, /* alone= */ true, 0);
        hold_back_later(member, FATE_AGAIN);
        break;
    }
    batch_end_running(batch);
    return true;
}

/* Runs the activity that the member stands before. True if it has ended. */
static bool start_script(struct batch *batch, struct member *member)
{
    struct fault fault;
    struct script *previous = member->script;
    batch->running = member;
    if (!script_new(member->execution, &batch->region, batch->rows, &member->script, &fault)) {
        member->script = previous;
        member_drop_for_fault(member, &fault);
        batch->running = NULL;
        return true;
    }
    script_follow(member->script, previous);
    if (!declared_data_bind(member->execution, member->script, batch->rows, member->slots,
                            &fault)) {
        member_drop_for_fault(member, &fault);
        batch_end_running(batch);
        return true;
    }
    if (!batch_relock_is_right(member, &fault)) {
        batch_end_running(batch);
        return true;
    }
    enum script_state state = script_start(member->script, &fault);
    return script_went(batch, member, state, &fault);
}

static bool start_member(struct batch *batch, struct member *member)
{
    if (member->execution->parks) {
        instance_stage(&member->execution->instance, STEP_IDLES,
                       member->execution->workflow->definition->start, NULL, NULL);
        member->fate = FATE_KEPT;
        return true;
    }
    member->execution->attempts++;
    member->execution->granted_us = batch->granted_us;
    return start_script(batch, member);
}

static bool resume_member(struct batch *batch, struct member *member)
{
    struct fault fault;
    if (clock_monotonic_us() >= batch->deadline_us) {
        member_drop(member, STATUS_EXPIRED, "held longer than the waiting timeout");
        batch_end_running(batch);
        return true;
    }
    enum script_state state = script_resume(member->script, &fault);
    return script_went(batch, member, state, &fault);
}

static struct member *first_with(struct batch *batch, enum member_fate fate)
{
    for (struct member *member = batch->members; member; member = member->next)
        if (member->fate == fate)
            return member;
    return NULL;
}

void batch_run(struct batch *batch)
{
    struct member *member;
    struct timeval now = {0};
    int64_t started_us = clock_monotonic_us();
    if (batch->state != BATCH_RUNNING)
        batch_enter(batch, BATCH_RUNNING);
    if (batch->chains) {
        batch->chains = false;
        if (!start_script(batch, batch->running))
            return;
    } else if (batch->running && !resume_member(batch, batch->running)) {
        return;
    }
    while (!batch->failing && (member = first_with(batch, FATE_OPEN))) {
        if (clock_monotonic_us() - started_us > LOOP_BUSY_US) {
            event_add(batch->timer, &now);
            return;
        }
        if (!start_member(batch, member))
            return;
    }
    if (batch->failing && !batch_is_alone(batch))
        batch_again_one_by_one(batch, 0);
    if (first_with(batch, FATE_KEPT))
        batch_save(batch);
    else
        batch_leave(batch);
}
