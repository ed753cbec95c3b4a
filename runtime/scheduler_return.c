/* What comes back from a batch: it was refused, is to run again, or gives up its place. */
#include "clock.h"
#include "lease_bell.h"
#include "lease_sweep.h"
#include "runtime_state.h"
#include "scheduler_state.h"

#include <assert.h>

enum {
    POLL_FIRST_US = 1000,
    POLL_MAX_US = 10 * 1000,
    LEASE_SWEPT_US = 20 * 1000, /* until an expired one should be gone */
    LEASE_JITTER_US = 10 * 1000,
};

/* Back from a batch, with its old place. True if it waits on. */
static bool put_back(struct scheduler *scheduler, struct execution *execution)
{
    assert(execution->state == EXECUTION_TAKEN);
    if (execution->ticket)
        lock_queue_put_back(execution->ticket);
    bool has_turn = !execution->ticket || lock_ticket_has_turn(execution->ticket);
    execution->state = has_turn ? EXECUTION_READY : EXECUTION_QUEUED;
    if (execution->out_of_time || clock_monotonic_us() >= execution->acquire_until_us) {
        scheduler_end_waiting(scheduler, execution);
        return false;
    }
    return true;
}

static void put_off(struct scheduler *scheduler, struct execution *execution, enum ready_line line,
                    int64_t delay_us)
{
    execution->not_before_us = clock_monotonic_us() + delay_us;
    scheduler_enter_line(scheduler, execution, line, /* first= */ false);
    scheduler_arm(execution);
}

static void delay(struct scheduler *scheduler, struct execution *execution, int64_t delay_us)
{
    put_off(scheduler, execution, READY_DELAYED, delay_us);
}

/* An acquire timeout of 0: its first refusal is the end. */
static bool tries_once(const struct execution *execution)
{
    return execution_activity(execution)->acquire_timeout_ms == 0 && execution->attempts == 0;
}

void scheduler_refused(struct scheduler *scheduler, struct execution *execution)
{
    int64_t now_us = clock_monotonic_us();
    execution->out_of_time = execution->out_of_time || tries_once(execution);
    if (!put_back(scheduler, execution) || execution->state != EXECUTION_READY)
        return;
    if (!execution->refused_since_us)
        execution->refused_since_us = now_us;
    int64_t refused_us = now_us - execution->refused_since_us;
    if (execution->ticket &&
        (refused_us >= scheduler->runtime->options.queue_after_us ||
         contention_has(&scheduler->contention, contention_key(execution->locks)))) {
        scheduler_enter_line(scheduler, execution, READY_SLOT, /* first= */ false);
        return;
    }
    int64_t pause_us = (int64_t)POLL_FIRST_US << (execution->polls < 8 ? execution->polls++ : 8);
    pause_us = pause_us < POLL_MAX_US ? pause_us : POLL_MAX_US;
    delay(scheduler, execution, (int64_t)((double)pause_us * (0.5 + clock_jitter())));
}

/* An expired one is in nobody's way for long: it is removed, and does not count as the one try. */
void scheduler_refused_by_lease(struct scheduler *scheduler, struct execution *execution,
                                int64_t lease_us)
{
    bool expired = lease_us <= 0;
    if (expired)
        lease_sweep_start(scheduler->runtime->lease_sweep);
    if (tries_once(execution) && !expired)
        execution->out_of_time = true;
    else if (tries_once(execution))
        execution->acquire_until_us = execution->run_until_us;
    if (!put_back(scheduler, execution) || execution->state != EXECUTION_READY)
        return;
    execution->refused_since_us = 0; /* no lock was in its way */
    lease_bell_listen(scheduler->runtime->lease_bell);
    int64_t poll_us = scheduler->runtime->options.lease_poll_us;
    int64_t pause_us = expired ? LEASE_SWEPT_US : lease_us;
    pause_us = pause_us < poll_us ? pause_us : poll_us;
    put_off(scheduler, execution, READY_LEASED,
            pause_us + (int64_t)(clock_jitter() * LEASE_JITTER_US));
}

void scheduler_lease_ended(struct scheduler *scheduler)
{
    struct execution *execution;
    while ((execution = TAILQ_FIRST(&scheduler->lines[READY_LEASED]))) {
        scheduler_enter_line(scheduler, execution, scheduler_own_line(execution),
                             /* first= */ false);
        scheduler_arm(execution);
    }
}

void scheduler_again(struct scheduler *scheduler, struct execution *execution, int64_t delay_us)
{
    /* it ran: until acquire plus waiting timeout are spent; or its one try was not refused */
    if (execution->attempts > 0 || tries_once(execution)) {
        execution->acquire_until_us = execution->run_until_us;
        execution->out_of_time = false;
    }
    if (!put_back(scheduler, execution))
        return;
    scheduler_arm(execution); /* its timer may have run out while it was taken */
    if (execution->state != EXECUTION_READY)
        return;
    if (delay_us > 0)
        delay(scheduler, execution, delay_us);
    else
        scheduler_enter_line(scheduler, execution, scheduler_own_line(execution),
                             /* first= */ true);
}

void scheduler_step_aside(struct scheduler *scheduler, struct execution *execution,
                          int64_t delay_us)
{
    if (execution->attempts > 0)
        execution->acquire_until_us = execution->run_until_us;
    if (!put_back(scheduler, execution))
        return;
    scheduler_leave_line(scheduler, execution);
    execution_leave_queue(execution);
    if (execution->next_locks) {
        lock_set_free(execution->locks);
        execution->locks = execution->next_locks;
        execution->next_locks = NULL;
    }
    execution->state = EXECUTION_PREPARING;
    execution->aside = true;
    execution->not_before_us = clock_monotonic_us() + delay_us;
    scheduler_arm(execution);
}
