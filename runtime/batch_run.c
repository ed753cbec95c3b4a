/* The scripts of a batch's members, one after the other, and what becomes of each member. */
#include "batch_chain.h"
#include "batch_early.h"
#include "batch_keys.h"
#include "batch_relock.h"
#include "batch_state.h"
#include "clock.h"
#include "declared_data.h"
#include "execution_chain.h"
#include "runtime_state.h"

#include <event2/event.h>

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

/* What it did early counts for nothing: it runs in the ordinary way. */
static void member_run_later(struct member *member)
{
    member_again(member, /* alone= */ false, /* delay_us= */ 0);
}

/* The script raised: again, if the activity has retries left. */
static void member_fail(const struct batch *batch, struct member *member, const struct fault *fault)
{
    struct execution *execution = member->execution;
    if (batch->early) {
        member_run_later(member);
        return;
    }
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
        member_fail(batch, member, fault);
        return true;
    }
    if (!batch_keep_changes(batch, member, fault)) {
        batch->failing = true; /* half of its changes may be kept in memory: nothing is saved */
        member_drop_for_fault(member, fault);
        return true;
    }
    if (!batch->early && execution_chain_continues(member->execution)) {
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
    if (batch->early && state != SCRIPT_ENDED) {
        member_run_later(member);
        batch_end_running(batch);
        return true;
    }
    switch (state) {
    case SCRIPT_ENDED:
        if (!end_member_well(batch, member, fault))
            return false;
        break;
    case SCRIPT_BLOCKED: member_drop(member, STATUS_BLOCKED, "the guard said no"); break;
    case SCRIPT_FAILED: member_fail(batch, member, fault); break;
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
        member->execution->plan->runs_long = true;
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
    member->execution->plan->runs_long = false;
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
    if (batch->early)
        batch_early_end(batch);
    else if (first_with(batch, FATE_KEPT))
        batch_save(batch);
    else
        batch_leave(batch);
}
