#include "run_load.h"

#include "clock.h"
#include "command.h"
#include "interrupt.h"

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    REFILL_MOST = 256, /* submissions in a row: answers and signals are heard in between */
};

/* One of the runs that are under way. */
struct run_load_slot {
    struct run_load *load;
    struct run_load_slot *next_free;
    int64_t submitted_us;
};

struct run_load {
    struct run_load_options options;
    struct run_totals *totals;
    struct progress progress;
    struct interrupt interrupt;
    struct event *refill; /* active while slots may be filled: never inside a callback */
    struct event *last;   /* the time for what is under way is over */
    struct run_load_slot *slots;
    struct run_load_slot *free_slots;
    int64_t n_submitted;
    int64_t n_answered;
    bool stopping;
    bool failed; /* fault says why */
    struct fault fault;
};

static void on_done(const struct result *result, void *arg)
{
    struct run_load_slot *slot = arg;
    struct run_load *load = slot->load;
    int64_t latency_us = clock_monotonic_us() - slot->submitted_us;
    slot->next_free = load->free_slots;
    load->free_slots = slot;
    load->n_answered++;
    run_totals_add(load->totals, result->status, latency_us, result->reason);
    if (load->options.each)
        load->options.each(result, load->options.arg);
    progress_update(&load->progress, load->n_answered);
    event_active(load->refill, EV_TIMEOUT, 1);
}

static bool submit(struct run_load *load, struct run_load_slot *slot)
{
    json_t *input = run_plan_input(load->options.plan, load->n_submitted);
    struct submission submission = {
        .workflow = load->options.workflow,
        .input = input,
        .key = load->options.key,
        .done = on_done,
        .arg = slot,
    };
    if (!input)
        return fault_no_memory(&load->fault);
    load->free_slots = slot->next_free;
    slot->submitted_us = clock_monotonic_us();
    bool ok = load->options.queue
                  ? runtime_enqueue(load->options.runtime, &submission,
                                    /* priority= */ 0, &load->fault)
                  : runtime_submit(load->options.runtime, &submission, &load->fault);
    json_decref(input);
    if (ok)
        load->n_submitted++;
    return ok;
}

static bool has_more(const struct run_load *load)
{
    return !load->stopping && !load->failed &&
           load->n_submitted < run_plan_count(load->options.plan);
}

/* An active event would be called again before what the sockets have. */
static void refill_after_others(struct run_load *load)
{
    struct timeval at_once = {0};
    if (event_add(load->refill, &at_once) != 0)
        event_active(load->refill, EV_TIMEOUT, 1);
}

static void on_refill(evutil_socket_t fd, short what, void *arg)
{
    struct run_load *load = arg;
    int n_submitted = 0;
    (void)fd;
    (void)what;
    for (; has_more(load) && load->free_slots && n_submitted < REFILL_MOST; n_submitted++)
        if (!submit(load, load->free_slots))
            load->failed = true;
    if (has_more(load) && load->free_slots)
        refill_after_others(load);
    if (!has_more(load) && load->n_answered == load->n_submitted)
        event_base_loopbreak(load->options.base);
}

static void on_last(evutil_socket_t fd, short what, void *arg)
{
    struct run_load *load = arg;
    (void)fd;
    (void)what;
    event_base_loopbreak(load->options.base);
}

static void on_interrupt(int n, void *arg)
{
    struct run_load *load = arg;
    struct timeval wait = clock_timeval_us(RUN_LAST_WAIT_US);
    if (n > 1) {
        progress_done(&load->progress);
        _exit(EXIT_SIGNAL + load->interrupt.signal_number);
    }
    load->stopping = true;
    event_add(load->last, &wait);
    event_active(load->refill, EV_TIMEOUT, 1);
}

bool run_load_new(const struct run_load_options *options, struct run_totals *totals,
                  struct run_load **out, struct fault *fault)
{
    struct run_load *load = calloc(1, sizeof *load);
    if (!load)
        return fault_no_memory(fault);
    load->options = *options;
    load->totals = totals;
    load->refill = event_new(options->base, -1, 0, on_refill, load);
    load->last = event_new(options->base, -1, 0, on_last, load);
    load->slots = calloc((size_t)options->concurrency, sizeof *load->slots);
    if (!load->refill || !load->last || !load->slots) {
        run_load_free(load);
        return fault_no_memory(fault);
    }
    for (int i = options->concurrency - 1; i >= 0; i--) {
        load->slots[i] = (struct run_load_slot){.load = load, .next_free = load->free_slots};
        load->free_slots = &load->slots[i];
    }
    *out = load;
    return true;
}

void run_load_free(struct run_load *load)
{
    if (!load)
        return;
    if (load->refill)
        event_free(load->refill);
    if (load->last)
        event_free(load->last);
    free(load->slots);
    free(load);
}

bool run_load_run(struct run_load *load, int *signal_number, struct fault *fault)
{
    int64_t count = run_plan_count(load->options.plan);
    progress_init(&load->progress, count > 1 ? count : 0, load->options.quiet);
    if (!interrupt_init(&load->interrupt, load->options.base, on_interrupt, load, fault)) {
        interrupt_done(&load->interrupt);
        return false;
    }
    run_totals_start(load->totals);
    event_active(load->refill, EV_TIMEOUT, 1);
    event_base_dispatch(load->options.base);
    run_totals_stop(load->totals);
    progress_done(&load->progress);
    interrupt_done(&load->interrupt);
    load->stopping = true;
    *signal_number = load->n_submitted < count || load->n_answered < load->n_submitted
                         ? load->interrupt.signal_number
                         : 0;
    if (load->failed)
        *fault = load->fault;
    return !load->failed;
}
