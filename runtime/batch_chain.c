/*
 *   RUNNING --an activity ends--> CHAINING (saves; its lock context wants data: loads)
 *                                     \--> CHAINING (saves, tries, loads) --> RUNNING the next one
 *                                                       \--refused--> LEAVING, and all over again
 */
#include "batch_chain.h"

#include "clock.h"
#include "declared_data.h"
#include "execution_chain.h"
#include "execution_lock.h"
#include "lock_tries.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REASON_BYTES = 200,
};

static void refuse(struct batch *batch, const struct fault *fault)
{
    member_drop_for_fault(batch->running, fault);
    batch->running = NULL;
    batch_leave(batch);
}

/* Another time, with the lock that is missing now taken at the beginning. */
static void begin_again(struct batch *batch)
{
    struct member *member = batch->running;
    struct execution *execution = member->execution;
    char reason[REASON_BYTES];
    struct fault fault;
    if (!execution_chain_learn(execution, execution->locks, &fault)) {
        refuse(batch, &fault);
        return;
    }
    snprintf(reason, sizeof reason, "a lock of activity '%s' was not free",
             execution_activity(execution)->name);
    execution_set_outcome(execution, STATUS_LOCKED, reason);
    member->fate = FATE_ASIDE;
    member->delay_us = 0;
    batch->running = NULL;
    batch_leave(batch);
}

/* ---- parts of the pipeline ---- */

static bool add_try(struct batch *batch, struct fault *fault)
{
    const struct execution *execution = batch->running->execution;
    struct lock_tries tries;
    batch->at_try = NO_STATEMENT;
    if (!execution->locks || (execution->chain->first_locks &&
                              lock_set_covers(execution->chain->first_locks, execution->locks)))
        return true;
    lock_tries_init(&tries);
    lock_tries_add(&tries, execution->locks);
    bool ok = lock_tries_add_try(&tries, batch->pipeline, &batch->at_try, fault);
    lock_tries_done(&tries);
    return ok;
}

/* The next activity's waiting timeout may end before that of those before it. */
static void add_deadline(struct batch *batch)
{
    const struct activity *activity = execution_activity(batch->running->execution);
    int64_t left_us = batch->deadline_us - clock_monotonic_us();
    char waiting[24];
    const char *params[] = {waiting, batch->runtime->tag};
    batch->at_granted = NO_STATEMENT;
    if (activity->waiting_timeout_ms * 1000 >= left_us)
        return;
    snprintf(waiting, sizeof waiting, "%lld", (long long)activity->waiting_timeout_ms);
    batch->at_granted = pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_BATCH_GRANTED, 2, params);
}

static void read_deadline(struct batch *batch, const struct pg_answer *answer)
{
    const struct activity *activity = execution_activity(batch->running->execution);
    if (batch->at_granted == NO_STATEMENT)
        return;
    batch->deadline_us = clock_monotonic_us() + activity->waiting_timeout_ms * 1000;
    snprintf(batch->deadline, sizeof batch->deadline, "%s",
             PQgetvalue(answer->results[batch->at_granted], 0, 0));
}

static bool add_loads(struct batch *batch, struct fault *fault)
{
    struct member *member = batch->running;
    if (!batch_rows_forget(batch->rows, fault) ||
        !declared_data_want(member->execution, &batch->region, batch->rows, &member->slots, fault))
        return false;
    batch_rows_add_loads(batch->rows, batch->pipeline);
    return batch_rows_ok(batch->rows, fault);
}

static void send_on(struct batch *batch, pg_answer_fn *done)
{
    int64_t left_us = batch->deadline_us - clock_monotonic_us();
    batch_enter(batch, BATCH_CHAINING);
    batch_send(batch, (left_us > 0 ? left_us : 0) + BATCH_GRACE_US, done);
}

static bool read_answer(struct batch *batch, struct pg_answer *answer)
{
    struct fault fault;
    if (answer->fault.kind || answer->connection_lost) {
        batch->running = NULL;
        batch_failed(batch, answer);
        return false;
    }
    if (batch_rows_saved(batch->rows, &fault) &&
        batch_rows_read_loads(batch->rows, answer->results, &fault))
        return true;
    refuse(batch, &fault);
    return false;
}

/* A lease in the way is a refusal as well: with all locks at the beginning it is waited for. */
static bool is_granted(const struct batch *batch, const struct pg_answer *answer)
{
    int64_t lease_us;
    if (batch->at_try == NO_STATEMENT)
        return true;
    const char *at = PQgetvalue(answer->results[batch->at_try], 0, 0);
    return lock_tries_read(&at, &lease_us) == LOCK_TRY_GRANTED;
}

/* ---- steps ---- */

static void on_locked(struct pg_answer *answer, void *arg)
{
    struct batch *batch = arg;
    struct member *member = batch->running;
    if (!read_answer(batch, answer))
        return;
    if (!is_granted(batch, answer)) {
        begin_again(batch);
        return;
    }
    read_deadline(batch, answer);
    member->execution->granted_us = clock_monotonic_us();
    batch->chains = true;
    batch_run(batch);
}

static void lock(struct batch *batch)
{
    struct fault fault;
    pg_pipeline_clear(batch->pipeline);
    batch_add_limits(batch);
    batch_rows_add_saves(batch->rows, batch->pipeline, /* last= */ false);
    bool ok = add_try(batch, &fault);
    add_deadline(batch);
    if (ok && add_loads(batch, &fault))
        send_on(batch, on_locked);
    else
        refuse(batch, &fault);
}

/* The lock context of the next activity uses data: they are there now. */
static void on_looked(struct pg_answer *answer, void *arg)
{
    struct batch *batch = arg;
    struct execution *execution = batch->running->execution;
    struct script *script = NULL;
    struct fault fault;
    if (!read_answer(batch, answer))
        return;
    bool ok = script_new(execution, &batch->region, batch->rows, &script, &fault) &&
              declared_data_bind(execution, script, batch->rows, batch->running->slots, &fault) &&
              script_lock(script, &execution->locks, &fault) &&
              execution_lock_join(execution, &execution->locks, &fault);
    script_free(script);
    if (ok)
        lock(batch);
    else
        refuse(batch, &fault);
}

static void look(struct batch *batch)
{
    struct fault fault;
    pg_pipeline_clear(batch->pipeline);
    batch_add_limits(batch);
    batch_rows_add_saves(batch->rows, batch->pipeline, /* last= */ false);
    batch->at_try = batch->at_granted = NO_STATEMENT;
    if (add_loads(batch, &fault))
        send_on(batch, on_looked);
    else
        refuse(batch, &fault);
}

void batch_chain_step(struct batch *batch)
{
    struct member *member = batch->running;
    struct execution *execution = member->execution;
    struct fault fault;
    script_free(member->script); /* what it logged and emitted stays */
    if (execution->instance.steps + 1 >= execution->workflow->definition->max_steps) {
        fault_set(&fault, FAULT_SCRIPT, "it has run as many activities as max-steps allows");
        refuse(batch, &fault);
        return;
    }
    if (!execution_chain_step(execution, &fault)) {
        refuse(batch, &fault);
        return;
    }
    if (execution_lock_uses_data(execution))
        look(batch);
    else if (execution_lock_evaluate(execution, &fault))
        lock(batch);
    else
        refuse(batch, &fault);
}
