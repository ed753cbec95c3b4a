#include "scheduler_state.h"

#include "batch.h"
#include "clock.h"
#include "pg_fault.h"
#include "runtime_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    WAIT_MAX_US = 5 * 1000 * 1000, /* in PostgreSQL's queue at a time */
    WAIT_SLICE_US = 250 * 1000,    /* the same while other heads want the slot */
    JOINING_SLOTS_MAX = 32,        /* heads of that line that a batch tries on the way */
    AWAY_PAUSE_US = 200 * 1000,
    ONCE_US = 10 * 1000 * 1000, /* an acquire timeout of 0 still waits so long for a connection */
    AWAY_US = 10 * 1000 * 1000, /* a failure to connect explains what ends this long after */
};

static void on_timer(evutil_socket_t fd, short what, void *arg);
static bool join(struct scheduler *scheduler, struct execution *execution);

static void go_soon(struct scheduler *scheduler)
{
    event_active(scheduler->go, EV_TIMEOUT, 0);
}

/* ---- lines ---- */

void scheduler_leave_line(struct scheduler *scheduler, struct execution *execution)
{
    if (execution->line == READY_NOWHERE)
        return;
    TAILQ_REMOVE(&scheduler->lines[execution->line], execution, link);
    if (--scheduler->lengths[execution->line] == 0 && execution->line == READY_PLAIN)
        pace_emptied(&scheduler->pace);
    execution->line = READY_NOWHERE;
}

void scheduler_enter_line(struct scheduler *scheduler, struct execution *execution,
                          enum ready_line line, bool first)
{
    scheduler_leave_line(scheduler, execution);
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

enum ready_line scheduler_own_line(const struct execution *execution)
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

void scheduler_arm(struct execution *execution)
{
    int64_t at_us = execution->acquire_until_us;
    if ((is_put_off(execution) || execution->aside) && execution->not_before_us < at_us)
        at_us = execution->not_before_us;
    struct timeval delay = clock_timeval_us(at_us - clock_monotonic_us());
    event_add(&execution->timer, &delay);
}

/* ---- outcomes ---- */

void scheduler_end_waiting(struct scheduler *scheduler, struct execution *execution)
{
    scheduler_leave_line(scheduler, execution);
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
            scheduler_end_waiting(scheduler, execution);
        return;
    }
    if (execution->aside) {
        execution->aside = false;
        if (!join(scheduler, execution))
            return;
    } else if (is_put_off(execution)) {
        scheduler_enter_line(scheduler, execution, scheduler_own_line(execution),
                             /* first= */ true);
    }
    scheduler_arm(execution);
}

/* ---- coming and going ---- */

static void on_turn(struct lock_ticket *ticket, void *arg)
{
    struct execution *execution = lock_ticket_owner(ticket);
    if (execution->state == EXECUTION_QUEUED) {
        execution->state = EXECUTION_READY;
        scheduler_enter_line(arg, execution, scheduler_own_line(execution), /* first= */ false);
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
        scheduler_enter_line(scheduler, execution, scheduler_own_line(execution),
                             /* first= */ false);
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
        scheduler_end_waiting(scheduler,
                              execution); /* trying once: others of this process hold it */
    } else {
        struct timeval limit = clock_timeval_us(ONCE_US);
        event_add(&execution->timer, &limit);
    }
}

static void take(struct scheduler *scheduler, struct batch *batch, struct execution *execution)
{
    scheduler_leave_line(scheduler, execution);
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

static void take_ready(struct scheduler *scheduler, struct batch *batch)
{
    struct execution *execution;
    int n_left = pace_share(&scheduler->pace, scheduler->lengths[READY_PLAIN],
                            scheduler->running[BATCH_PLAIN], scheduler->limits[BATCH_PLAIN]);
    while (n_left-- > 0 && (execution = TAILQ_FIRST(&scheduler->lines[READY_PLAIN])) &&
           can_take(batch, execution))
        take(scheduler, batch, execution);
    for (int i = 0, n_heads = batch_n_members(batch); i < n_heads; i++)
        fill_behind(scheduler, batch, batch_member(batch, i), /* covered_by= */ NULL);
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
    case BATCH_PLAIN:
        take_ready(scheduler, batch);
        if (batch_n_members(batch) > 0) /* others have joined one that waited meanwhile */
            pace_began(&scheduler->pace, batch_n_members(batch));
        return;
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

/* Not told to the pace: how large batches are that nobody waited for is what it goes by. */
void scheduler_fill_joining(struct scheduler *scheduler, struct batch *batch)
{
    take_ready(scheduler, batch);
    struct execution *next = TAILQ_FIRST(&scheduler->lines[READY_SLOT]);
    for (int i = 0; next && i < JOINING_SLOTS_MAX; i++) {
        struct execution *execution = next;
        next = TAILQ_NEXT(execution, link);
        if (wants_alone(execution) || !can_take(batch, execution))
            continue;
        take(scheduler, batch, execution);
        fill_behind(scheduler, batch, execution, /* covered_by= */ NULL);
    }
}

int64_t scheduler_wait_budget_us(const struct scheduler *scheduler,
                                 const struct execution *execution)
{
    int64_t left_us = execution->acquire_until_us - clock_monotonic_us();
    int64_t most_us = scheduler->lengths[READY_SLOT] > 0 ? WAIT_SLICE_US : WAIT_MAX_US;
    int64_t budget_us = left_us < most_us ? left_us : most_us;
    return budget_us < 1000 ? 1000 : budget_us; /* never 0: that is for ever */
}

void scheduler_count_lease(struct scheduler *scheduler, int change)
{
    scheduler->n_leases += change;
    go_soon(scheduler);
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
