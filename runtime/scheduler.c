#include "scheduler.h"

#include "batch.h"
#include "clock.h"
#include "contention.h"
#include "lease_bell.h"
#include "lease_sweep.h"
#include "pace.h"
#include "pg_fault.h"
#include "runtime_state.h"
#include "wait_lengths.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    POLL_FIRST_US = 1000,
    POLL_MAX_US = 10 * 1000,
    WAIT_MAX_US = 5 * 1000 * 1000, /* in PostgreSQL's queue at a time */
    WAIT_SLICE_US = 250 * 1000,    /* the same while other heads want the slot */
    LEASE_SWEPT_US = 20 * 1000,    /* until an expired one should be gone */
    LEASE_JITTER_US = 10 * 1000,
    AWAY_PAUSE_US = 200 * 1000,
    ONCE_US = 10 * 1000 * 1000, /* an acquire timeout of 0 still waits so long for a connection */
    AWAY_US = 10 * 1000 * 1000, /* a failure to connect explains what ends this long after */
};

TAILQ_HEAD(execution_line, execution);

struct scheduler {
    struct runtime *runtime;
    struct lock_queue *queue;
    struct event *go;
    struct execution_line lines[READY_LINES];
    int lengths[READY_LINES];
    int running[3]; /* batches by kind, from their request for a connection on */
    int pending[3]; /* of them, those whose connection has not come */
    int limits[3];
    int n_leases;     /* that executions of this host hold */
    struct pace pace; /* of plain batches */
    struct contention contention;
    struct wait_lengths waits;
    struct fault away; /* the last failure to get a connection */
    int64_t away_us;
};

static void on_timer(evutil_socket_t fd, short what, void *arg);
static bool join(struct scheduler *scheduler, struct execution *execution);

static void go_soon(struct scheduler *scheduler)
{
    event_active(scheduler->go, EV_TIMEOUT, 0);
}

/* ---- lines ---- */

static void leave_line(struct scheduler *scheduler, struct execution *execution)
{
    if (execution->line == READY_NOWHERE)
        return;
    TAILQ_REMOVE(&scheduler->lines[execution->line], execution, link);
    if (--scheduler->lengths[execution->line] == 0 && execution->line == READY_PLAIN)
        pace_emptied(&scheduler->pace);
    execution->line = READY_NOWHERE;
}

static void enter_line(struct scheduler *scheduler, struct execution *execution,
                       enum ready_line line, bool first)
{
    leave_line(scheduler, execution);
    execution->line = line;
    if (first)
        TAILQ_INSERT_HEAD(&scheduler->lines[line], execution, link);
    else
        TAILQ_INSERT_TAIL(&scheduler->lines[line], execution, link);
    scheduler->lengths[line]++;
    if (line != READY_DELAYED && line != READY_LEASED)
        go_soon(scheduler);
}

bool scheduler_is_crowded(const struct scheduler *scheduler)
{
    return scheduler->pace.crowding.crowded;
}

int scheduler_n_in_line(const struct scheduler *scheduler, enum ready_line line)
{
    return scheduler->lengths[line];
}

static bool wants_alone(const struct execution *execution)
{
    return execution->alone || execution->plan->needs_alone || execution->workflow->has_lists ||
           execution_takes_lease(execution);
}

static enum ready_line own_line(const struct execution *execution)
{
    if (execution_takes_lease(execution))
        return READY_LEASING;
    return wants_alone(execution) ? READY_ALONE : READY_PLAIN;
}

/* Its timer brings it back. */
static bool is_put_off(const struct execution *execution)
{
    return execution->line == READY_DELAYED || execution->line == READY_LEASED;
}

static void arm(struct execution *execution)
{
    int64_t at_us = execution->acquire_until_us;
    if ((is_put_off(execution) || execution->aside) && execution->not_before_us < at_us)
        at_us = execution->not_before_us;
    struct timeval delay = clock_timeval_us(at_us - clock_monotonic_us());
    event_add(&execution->timer, &delay);
}

/* ---- outcomes ---- */

/* It ends without having had its lock. */
static void end_waiting(struct scheduler *scheduler, struct execution *execution)
{
    leave_line(scheduler, execution);
    int64_t now_us = clock_monotonic_us();
    const struct fault *trouble = pg_pool_trouble(scheduler->runtime->pool);
    if (trouble)
        execution_set_outcome(execution, STATUS_FAILED, trouble->text);
    else if (scheduler->away.kind && now_us - scheduler->away_us < AWAY_US)
        execution_set_outcome(execution, STATUS_FAILED, scheduler->away.text);
    else if (execution->attempts > 0 && execution->reason)
        execution_set_outcome(execution, execution->status, execution->reason);
    else
        execution_set_outcome(execution, STATUS_LOCKED, "no lock within the acquire timeout");
    runtime_conclude(scheduler->runtime, execution, /* recorded= */ false);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct execution *execution = arg;
    struct scheduler *scheduler = execution->runtime->scheduler;
    (void)fd;
    (void)what;
    if (clock_monotonic_us() >= execution->acquire_until_us) {
        if (execution->state == EXECUTION_TAKEN)
            execution->out_of_time = true;
        else if (execution->state != EXECUTION_RECORDING)
            end_waiting(scheduler, execution);
        return;
    }
    if (execution->aside) {
        execution->aside = false;
        if (!join(scheduler, execution))
            return;
    } else if (is_put_off(execution)) {
        enter_line(scheduler, execution, own_line(execution), /* first= */ true);
    }
    arm(execution);
}

/* ---- coming and going ---- */

static void on_turn(struct lock_ticket *ticket, void *arg)
{
    struct execution *execution = lock_ticket_owner(ticket);
    if (execution->state == EXECUTION_QUEUED) {
        execution->state = EXECUTION_READY;
        enter_line(arg, execution, own_line(execution), /* first= */ false);
    }
}

/* False if it ended here. */
static bool join(struct scheduler *scheduler, struct execution *execution)
{
    struct fault fault;
    if (execution->locks && !lock_queue_join(scheduler->queue, execution->locks, execution,
                                             &execution->ticket, &fault)) {
        execution_set_outcome(execution, STATUS_FAILED, fault.text);
        runtime_conclude(scheduler->runtime, execution, /* recorded= */ false);
        return false;
    }
    if (!execution->ticket || lock_ticket_has_turn(execution->ticket)) {
        execution->state = EXECUTION_READY;
        enter_line(scheduler, execution, own_line(execution), /* first= */ false);
    } else {
        execution->state = EXECUTION_QUEUED;
    }
    return true;
}

void scheduler_add(struct scheduler *scheduler, struct execution *execution)
{
    evtimer_assign(&execution->timer, scheduler->runtime->base, on_timer, execution);
    if (!join(scheduler, execution))
        return;
    int64_t acquire_us = execution_activity(execution)->acquire_timeout_ms * 1000;
    if (acquire_us > 0) {
        wait_lengths_arm(&scheduler->waits, &execution->timer, acquire_us,
                         execution->acquire_until_us);
    } else if (execution->state == EXECUTION_QUEUED) {
        end_waiting(scheduler, execution); /* trying once: others of this process hold it */
    } else {
        struct timeval limit = clock_timeval_us(ONCE_US);
        event_add(&execution->timer, &limit);
    }
}

static void take(struct scheduler *scheduler, struct batch *batch, struct execution *execution)
{
    leave_line(scheduler, execution);
    execution->state = EXECUTION_TAKEN;
    if (execution->ticket)
        lock_queue_take(execution->ticket, batch);
    batch_admit(batch, execution);
}

static bool can_take(struct batch *batch, const struct execution *execution)
{
    return batch_has_room(batch, execution) &&
           (!execution->ticket || lock_ticket_can_join(execution->ticket, batch));
}

/* Adds those that stand behind a member on its path, in order, as long as they may come along. */
static void fill_behind(struct scheduler *scheduler, struct batch *batch,
                        const struct execution *member, const struct lock_set *covered_by)
{
    struct lock_ticket *next;
    while (member->ticket && !member->plan->spreads && (next = lock_ticket_next(member->ticket))) {
        struct execution *execution = lock_ticket_owner(next);
        bool delayed = is_put_off(execution) || execution->line == READY_SLOT;
        if (wants_alone(execution) || delayed || !can_take(batch, execution) ||
            (covered_by && !lock_set_covers(covered_by, execution->locks)))
            return;
        take(scheduler, batch, execution);
    }
}

static void fill_plain(struct scheduler *scheduler, struct batch *batch)
{
    struct execution *execution;
    int n_left = pace_share(&scheduler->pace, scheduler->lengths[READY_PLAIN],
                            scheduler->running[BATCH_PLAIN], scheduler->limits[BATCH_PLAIN]);
    while (n_left-- > 0 && (execution = TAILQ_FIRST(&scheduler->lines[READY_PLAIN])) &&
           can_take(batch, execution))
        take(scheduler, batch, execution);
    for (int i = 0, n_heads = batch_n_members(batch); i < n_heads; i++)
        fill_behind(scheduler, batch, batch_member(batch, i), /* covered_by= */ NULL);
    pace_began(&scheduler->pace, batch_n_members(batch));
}

/* The head that had the fewest turns at a waiter connection; of those the oldest. */
static struct execution *next_for_slot(struct scheduler *scheduler)
{
    struct execution *best = NULL, *execution;
    TAILQ_FOREACH(execution, &scheduler->lines[READY_SLOT], link)
    {
        if (!best || execution->slices < best->slices ||
            (execution->slices == best->slices && execution->submitted_us < best->submitted_us))
            best = execution;
    }
    return best;
}

/* How many more may take a lease now. */
static int lease_room(const struct scheduler *scheduler)
{
    int room = scheduler->runtime->options.leases_max - scheduler->n_leases;
    return room > 0 ? room : 0;
}

/* Of those that want a transaction of their own, the one that came first. */
static struct execution *next_alone(const struct scheduler *scheduler)
{
    struct execution *alone = TAILQ_FIRST(&scheduler->lines[READY_ALONE]);
    struct execution *leasing =
        lease_room(scheduler) ? TAILQ_FIRST(&scheduler->lines[READY_LEASING]) : NULL;
    bool leases = leasing && (!alone || leasing->submitted_us < alone->submitted_us);
    return leases ? leasing : alone;
}

void scheduler_fill(struct scheduler *scheduler, struct batch *batch)
{
    struct execution *execution = NULL;
    scheduler->pending[batch_kind(batch)]--;
    go_soon(scheduler); /* what does not fit in this one may want the next connection at once */
    switch (batch_kind(batch)) {
    case BATCH_PLAIN: fill_plain(scheduler, batch); return;
    case BATCH_ALONE: execution = next_alone(scheduler); break;
    case BATCH_WAIT:
        execution = next_for_slot(scheduler);
        if (execution) {
            execution->slices++;
            contention_mark(&scheduler->contention, contention_key(execution->locks));
        }
        break;
    }
    if (execution)
        take(scheduler, batch, execution);
}

enum batch_kind scheduler_becomes(struct scheduler *scheduler, enum batch_kind was,
                                  const struct execution *head)
{
    enum batch_kind kind = wants_alone(head) ? BATCH_ALONE : BATCH_PLAIN;
    scheduler->running[was]--;
    scheduler->running[kind]++; /* perhaps over its limit: the pool bounds them together */
    go_soon(scheduler);
    return kind;
}

void scheduler_fill_covered(struct scheduler *scheduler, struct batch *batch,
                            struct execution *head)
{
    if (!wants_alone(head))
        fill_behind(scheduler, batch, head, head->locks);
}

int64_t scheduler_wait_budget_us(const struct scheduler *scheduler,
                                 const struct execution *execution)
{
    int64_t left_us = execution->acquire_until_us - clock_monotonic_us();
    int64_t most_us = scheduler->lengths[READY_SLOT] > 0 ? WAIT_SLICE_US : WAIT_MAX_US;
    int64_t budget_us = left_us < most_us ? left_us : most_us;
    return budget_us < 1000 ? 1000 : budget_us; /* never 0: that is for ever */
}

/* Back from a batch, with its old place. True if it waits on. */
static bool put_back(struct scheduler *scheduler, struct execution *execution)
{
    assert(execution->state == EXECUTION_TAKEN);
    if (execution->ticket)
        lock_queue_put_back(execution->ticket);
    bool has_turn = !execution->ticket || lock_ticket_has_turn(execution->ticket);
    execution->state = has_turn ? EXECUTION_READY : EXECUTION_QUEUED;
    if (execution->out_of_time || clock_monotonic_us() >= execution->acquire_until_us) {
        end_waiting(scheduler, execution);
        return false;
    }
    return true;
}

static void put_off(struct scheduler *scheduler, struct execution *execution, enum ready_line line,
                    int64_t delay_us)
{
    execution->not_before_us = clock_monotonic_us() + delay_us;
    enter_line(scheduler, execution, line, /* first= */ false);
    arm(execution);
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
        enter_line(scheduler, execution, READY_SLOT, /* first= */ false);
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

void scheduler_count_lease(struct scheduler *scheduler, int change)
{
    scheduler->n_leases += change;
    go_soon(scheduler);
}

void scheduler_lease_ended(struct scheduler *scheduler)
{
    struct execution *execution;
    while ((execution = TAILQ_FIRST(&scheduler->lines[READY_LEASED]))) {
        enter_line(scheduler, execution, own_line(execution), /* first= */ false);
        arm(execution);
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
    arm(execution); /* its timer may have run out while it was taken */
    if (execution->state != EXECUTION_READY)
        return;
    if (delay_us > 0)
        delay(scheduler, execution, delay_us);
    else
        enter_line(scheduler, execution, own_line(execution), /* first= */ true);
}

void scheduler_step_aside(struct scheduler *scheduler, struct execution *execution,
                          int64_t delay_us)
{
    if (execution->attempts > 0)
        execution->acquire_until_us = execution->run_until_us;
    if (!put_back(scheduler, execution))
        return;
    leave_line(scheduler, execution);
    execution_leave_queue(execution);
    if (execution->next_locks) {
        lock_set_free(execution->locks);
        execution->locks = execution->next_locks;
        execution->next_locks = NULL;
    }
    execution->state = EXECUTION_PREPARING;
    execution->aside = true;
    execution->not_before_us = clock_monotonic_us() + delay_us;
    arm(execution);
}

/* ---- batches ---- */

/* No connection: what waits is told so when its time is over; until then it is tried again. */
static void note_away(struct scheduler *scheduler, const struct fault *fault)
{
    struct timeval pause = clock_timeval_us(AWAY_PAUSE_US);
    /* that all connections are busy is no failure: who waits then just gets no lock */
    if (fault->kind == FAULT_EXHAUSTED || pg_fault_is_final(fault) ||
        pg_pool_trouble(scheduler->runtime->pool)) {
        const struct log *log = scheduler->runtime->options.log;
        if (!scheduler->away.kind && log)
            log_line(log, LOG_LEVEL_WARNING, "runtime", "no database connection, trying on: %s",
                     fault->text);
        scheduler->away = *fault;
        scheduler->away_us = clock_monotonic_us();
    }
    event_add(scheduler->go, &pause);
}

static bool lingers(struct scheduler *scheduler)
{
    int64_t rest_us = pace_linger_us(&scheduler->pace, scheduler->lengths[READY_PLAIN],
                                     scheduler->running[BATCH_PLAIN], clock_monotonic_us());
    struct timeval rest = clock_timeval_us(rest_us);
    if (rest_us > 0)
        event_add(scheduler->go, &rest);
    return rest_us > 0;
}

/* How many batches of one execution each are wanted. */
static int n_ready_alone(const struct scheduler *scheduler)
{
    int n_leasing = scheduler->lengths[READY_LEASING], room = lease_room(scheduler);
    return scheduler->lengths[READY_ALONE] + (n_leasing < room ? n_leasing : room);
}

static bool needs_batch(struct scheduler *scheduler, enum batch_kind kind)
{
    int n_pending = scheduler->pending[kind];
    if (scheduler->running[kind] >= scheduler->limits[kind])
        return false;
    switch (kind) {
    case BATCH_PLAIN: /* one connection is asked for at a time: it takes its share when it comes */
        return n_pending == 0 && scheduler->lengths[READY_PLAIN] > 0 && !lingers(scheduler);
    case BATCH_ALONE: return n_ready_alone(scheduler) > n_pending;
    case BATCH_WAIT: return scheduler->lengths[READY_SLOT] > n_pending;
    }
    return false;
}

static void start_batches(struct scheduler *scheduler, enum batch_kind kind)
{
    while (needs_batch(scheduler, kind)) {
        struct fault fault;
        if (!batch_start(scheduler->runtime, kind, &fault)) {
            note_away(scheduler, &fault);
            return;
        }
        scheduler->running[kind]++;
        scheduler->pending[kind]++;
    }
}

static void on_go(evutil_socket_t fd, short what, void *arg)
{
    struct scheduler *scheduler = arg;
    (void)fd;
    (void)what;
    if (scheduler->runtime->stopping)
        return;
    scheduler->limits[BATCH_PLAIN] =
        pace_batches(&scheduler->pace, scheduler->lengths[READY_PLAIN], clock_monotonic_us());
    start_batches(scheduler, BATCH_WAIT);
    start_batches(scheduler, BATCH_ALONE);
    start_batches(scheduler, BATCH_PLAIN);
}

void scheduler_go(struct scheduler *scheduler)
{
    on_go(-1, 0, scheduler);
}

bool scheduler_next_is_full(const struct scheduler *scheduler, const struct batch *batch)
{
    int n_others = scheduler->runtime->n_running - batch_n_members(batch);
    return batch_kind(batch) == BATCH_PLAIN &&
           pace_next_is_full(&scheduler->pace, scheduler->lengths[READY_PLAIN],
                             scheduler->running[BATCH_PLAIN], n_others);
}

void scheduler_batch_ended(struct scheduler *scheduler, enum batch_kind kind,
                           const struct fault *fault)
{
    scheduler->running[kind]--;
    if (kind == BATCH_PLAIN)
        pace_ended(&scheduler->pace, scheduler->lengths[READY_PLAIN]);
    if (fault) {
        scheduler->pending[kind]--;
        note_away(scheduler, fault);
    } else {
        scheduler->away.kind = FAULT_NONE;
        go_soon(scheduler);
    }
}

/* ---- life ---- */

bool scheduler_new(struct runtime *runtime, struct scheduler **out, struct fault *fault)
{
    struct scheduler *scheduler = calloc(1, sizeof *scheduler);
    if (!scheduler)
        return fault_no_memory(fault);
    scheduler->runtime = runtime;
    for (int i = 0; i < READY_LINES; i++)
        TAILQ_INIT(&scheduler->lines[i]);
    int n_ordinary = runtime->options.pool_size - 1, n_waiters = runtime->options.waiters;
    int n_alone = n_ordinary - n_waiters - 1;
    pace_open(&scheduler->pace, &runtime->options, n_ordinary);
    scheduler->limits[BATCH_ALONE] = n_alone > 1 ? n_alone : 1;
    scheduler->limits[BATCH_WAIT] = n_waiters;
    scheduler->go = event_new(runtime->base, -1, 0, on_go, scheduler);
    if (!scheduler->go || !lock_queue_new(&scheduler->queue, fault)) {
        if (!scheduler->go)
            fault_no_memory(fault);
        scheduler_free(scheduler);
        return false;
    }
    lock_queue_on_turn(scheduler->queue, on_turn, scheduler);
    *out = scheduler;
    return true;
}

void scheduler_free(struct scheduler *scheduler)
{
    if (!scheduler)
        return;
    assert(scheduler->runtime->n_running == 0);
    contention_done(&scheduler->contention);
    pace_close(&scheduler->pace);
    if (scheduler->go)
        event_free(scheduler->go);
    lock_queue_free(scheduler->queue);
    free(scheduler);
}
