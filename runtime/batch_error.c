/*
 * An error before a commit was sent: nothing has happened. With company it counts for nobody: all
 * members run again, one by one. Alone it is the execution's own.
 */
#include "batch_broken.h"
#include "batch_fault.h"
#include "batch_lease.h"
#include "batch_state.h"
#include "clock.h"
#include "lock_table.h"
#include "runtime_state.h"

#include <assert.h>
#include <string.h>

enum {
    OVERDUE_SLACK_US = 5 * 1000, /* our clock and the server's need not agree to the millisecond */
    RETRY_FIRST_US = 2 * 1000,
    RETRY_MAX_US = 200 * 1000,
    AWAY_PAUSE_US = 100 * 1000,
};

void batch_drop_all(struct batch *batch, enum execution_status status, const char *reason)
{
    for (struct member *member = batch->members; member; member = member->next)
        if (member->fate == FATE_OPEN || member->fate == FATE_KEPT)
            member_drop(member, status, reason);
}

static int64_t retry_delay_us(const struct execution *execution)
{
    int shift = execution->attempts < 7 ? execution->attempts : 7;
    int64_t delay_us = (int64_t)RETRY_FIRST_US << shift;
    delay_us = delay_us < RETRY_MAX_US ? delay_us : RETRY_MAX_US;
    return (int64_t)((double)delay_us * (0.5 + clock_jitter()));
}

/* Runs it again unless its time is spent; then it has the outcome that is set here. */
static void again_or(struct member *member, enum execution_status status, const char *reason,
                     int64_t delay_us)
{
    struct execution *execution = member->execution;
    execution_set_outcome(execution, status, reason);
    if (clock_monotonic_us() + delay_us >= execution->run_until_us)
        member->fate = FATE_DROPPED;
    else
        member_again(member, /* alone= */ true, delay_us);
}

static void fail_alone(struct batch *batch, struct member *member, const struct fault *fault)
{
    struct execution *execution = member->execution;
    int64_t delay_us = retry_delay_us(execution);
    int64_t ended_us = batch->lost_us ? batch->lost_us : clock_monotonic_us();
    bool overdue =
        batch->granted_us && ended_us + batch->slack_us + OVERDUE_SLACK_US >= batch->deadline_us;
    switch (batch_fault_meaning(fault)) {
    case MEANS_CONFLICT:
        if (execution_activity(execution)->on_conflict == ON_CONFLICT_FAIL)
            member_drop(member, STATUS_CONFLICT, fault->text);
        else
            again_or(member, STATUS_CONFLICT, fault->text, delay_us);
        return;
    case MEANS_COLLISION: again_or(member, STATUS_CONFLICT, fault->text, delay_us); return;
    case MEANS_EXPIRED:
        member_drop(member, STATUS_EXPIRED, "held longer than the waiting timeout");
        return;
    case MEANS_LEASE_GONE:
        member_drop(member, STATUS_EXPIRED,
                    overdue ? "held longer than the waiting timeout" : "its lease was broken");
        return;
    case MEANS_OVERDUE:
        if (overdue)
            member_drop(member, STATUS_EXPIRED, "held longer than the waiting timeout");
        else
            again_or(member, STATUS_FAILED, fault->text, delay_us);
        return;
    case MEANS_AWAY:
        if (overdue)
            member_drop(member, STATUS_EXPIRED, "held longer than the waiting timeout");
        else
            again_or(member, STATUS_FAILED, fault->text, AWAY_PAUSE_US + delay_us);
        return;
    case MEANS_STALE_PLAN:
        runtime_forget_tables(batch->runtime);
        again_or(member, STATUS_FAILED, fault->text, delay_us);
        return;
    case MEANS_SCHEMA:
        runtime_forget_tables(batch->runtime);
        if (execution->looked_anew || batch->state == BATCH_ASKING)
            member_drop(member, STATUS_INVALID, fault->text);
        else
            again_or(member, STATUS_INVALID, fault->text, delay_us);
        execution->looked_anew = true;
        return;
    case MEANS_REFUSED:
        member_drop(member,
                    strncmp(fault->sqlstate, "22", 2) == 0 && batch->state != BATCH_ASKING &&
                            batch->state != BATCH_CHAINING && batch->state != BATCH_SAVING
                        ? STATUS_INVALID /* a key that is no value of its column */
                        : STATUS_FAILED,
                    fault->text);
        return;
    }
}

/* Together: after the same pause, so that they meet in a batch again. */
static void again(struct batch *batch, bool alone, int64_t pause_us)
{
    double common = clock_jitter();
    for (struct member *member = batch->members; member; member = member->next)
        if (member->fate != FATE_REFUSED)
            member_again(member, alone,
                         (int64_t)((double)pause_us * (alone ? clock_jitter() : common)));
}

void batch_again_one_by_one(struct batch *batch, int64_t pause_us)
{
    again(batch, /* alone= */ true, pause_us);
}

/* For a row or a table, since it was in a plain batch. */
static bool waited_too_short(const struct batch *batch, const struct fault *fault)
{
    return batch->kind == BATCH_PLAIN && strcmp(fault->sqlstate, "55P03") == 0;
}

void batch_failed(struct batch *batch, const struct pg_answer *answer)
{
    enum fault_meaning meaning = batch_fault_meaning(&answer->fault);
    assert(batch->members);
    if (batch_lease_goes_on(batch, answer) || batch_broken_ask(batch, answer))
        return;
    int64_t pause_us = answer->connection_lost ? AWAY_PAUSE_US : 0;
    bool full = strcmp(answer->fault.sqlstate, "53200") == 0;
    if (full)
        pause_us = AWAY_PAUSE_US; /* the lock table is full: stand back */
    bool together = full && lock_table_shrink(batch->runtime->lock_table);
    for (struct member *member = batch->members; member; member = member->next)
        if (!member->execution->attempts && member->fate != FATE_REFUSED)
            member->execution->attempts = 1;
    if (!batch_is_alone(batch) && (meaning == MEANS_SCHEMA || meaning == MEANS_STALE_PLAN))
        runtime_forget_tables(batch->runtime);
    if (!batch_is_alone(batch) || waited_too_short(batch, &answer->fault))
        again(batch, /* alone= */ !together, pause_us);
    else if (batch->members &&
             (batch->members->fate == FATE_OPEN || batch->members->fate == FATE_KEPT))
        fail_alone(batch, batch->members, &answer->fault);
    batch_broken_drop(batch);
    if (answer->connection_lost)
        batch_end(batch);
    else
        batch_leave(batch);
}
