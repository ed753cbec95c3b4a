/* A host's life; see latchkey_state.h for the states. */
#include "latchkey_state.h"

#include "clock.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_EVERY_US = 10 * 1000,
};

const char *latchkey_version(void)
{
    return LATCHKEY_VERSION;
}

/* ---- starting ---- */

static bool is_to_come(const struct latchkey *host)
{
    return host->state == LATCHKEY_STATE_NEW || host->state == LATCHKEY_STATE_STARTING;
}

static bool work(struct latchkey *host, struct fault *fault)
{
    struct background_options options = runtime_default_background();
    if (host->jobs_max > 0)
        options.jobs_max = options.jobs_fast_max = host->jobs_max;
    return runtime_work(host->runtime, &options, fault);
}

static bool be_up(struct latchkey *host, struct fault *fault)
{
    return runtime_watch(host->runtime, host->definitions, host->published_by, fault) &&
           (!host->jobs_max || work(host, fault));
}

static void on_entered(const struct fault *fault, void *arg)
{
    struct latchkey *host = arg;
    struct fault failed = {0};
    bool wanted = host->state == LATCHKEY_STATE_STARTING;
    if (fault)
        failed = *fault;
    else if (!wanted)
        fault_set(&failed, FAULT_CANCELLED, "the host is stopping");
    else if (be_up(host, &failed))
        host->state = LATCHKEY_STATE_UP;
    host->start_fault = failed;
    host->tells_start = true;
    if (wanted && failed.kind)
        host->state = LATCHKEY_STATE_NEW;
    event_active(host->turn, EV_TIMEOUT, 0);
}

bool latchkey_start(struct latchkey *host, latchkey_started_fn *done, void *arg,
                    struct latchkey_fault *fault)
{
    struct fault failed;
    if (host->state != LATCHKEY_STATE_NEW || host->tells_start) {
        fault_set(&failed, FAULT_INVALID, "the host was started already");
        return latchkey_fault_tell(&failed, fault);
    }
    if (!runtime_enter(host->runtime, host->start_patience_us, on_entered, host, &failed))
        return latchkey_fault_tell(&failed, fault);
    host->state = LATCHKEY_STATE_STARTING;
    host->started = done;
    host->started_arg = arg;
    return true;
}

bool latchkey_work(struct latchkey *host, int jobs_max, struct latchkey_fault *fault)
{
    struct fault failed;
    if (host->state == LATCHKEY_STATE_FREEING) {
        fault_set(&failed, FAULT_CANCELLED, "the host is stopping");
        return latchkey_fault_tell(&failed, fault);
    }
    if (jobs_max < 0) {
        fault_set(&failed, FAULT_INVALID, "%d jobs at a time", jobs_max);
        return latchkey_fault_tell(&failed, fault);
    }
    host->jobs_max = jobs_max ? jobs_max : -1;
    if (host->state == LATCHKEY_STATE_UP && !work(host, &failed))
        return latchkey_fault_tell(&failed, fault);
    return true;
}

static void tell_started(struct latchkey *host)
{
    struct latchkey_fault room;
    latchkey_started_fn *done = host->started;
    host->tells_start = false;
    host->started = NULL;
    if (done)
        done(host, latchkey_fault_lend(host->start_fault.kind ? &host->start_fault : NULL, &room),
             host->started_arg);
}

/* ---- ending ---- */

void latchkey_drain(struct latchkey *host)
{
    if (host->runtime)
        runtime_drain(host->runtime);
}

int latchkey_n_running(const struct latchkey *host)
{
    return host->n_held + host->n_apart + (host->runtime ? runtime_n_running(host->runtime) : 0);
}

static void be_stopped(struct latchkey *host)
{
    host->state = LATCHKEY_STATE_STOPPED;
    host->tells_stop = true;
    event_active(host->turn, EV_TIMEOUT, 0);
}

static void on_left(const struct fault *fault, void *arg)
{
    struct latchkey *host = arg;
    (void)fault; /* then its silence tells it */
    if (host->state == LATCHKEY_STATE_LEAVING)
        be_stopped(host);
}

/* A start that is still under way is given up by latchkey_free; who never was up need not leave. */
static void leave(struct latchkey *host)
{
    struct fault ignored;
    host->state = LATCHKEY_STATE_LEAVING;
    if (!runtime_leave(host->runtime, on_left, host, &ignored))
        be_stopped(host);
}

static void look_again(struct latchkey *host)
{
    struct timeval pause = clock_timeval_us(LOOK_EVERY_US);
    event_add(host->look, &pause);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct latchkey *host = arg;
    bool is_idle = latchkey_n_running(host) == 0 && !runtime_is_changing_definitions(host->runtime);
    (void)fd;
    (void)what;
    if (is_idle || clock_monotonic_us() >= host->patience_until_us)
        leave(host);
    else
        look_again(host);
}

bool latchkey_stop(struct latchkey *host, int64_t patience_ms, latchkey_stopped_fn *done, void *arg,
                   struct latchkey_fault *fault)
{
    struct fault failed;
    bool was_up = host->state == LATCHKEY_STATE_UP;
    if (!was_up && !is_to_come(host)) {
        fault_set(&failed, FAULT_CANCELLED, "the host is stopping already");
        return latchkey_fault_tell(&failed, fault);
    }
    host->stopped = done;
    host->stopped_arg = arg;
    host->patience_until_us = clock_monotonic_us() + (patience_ms > 0 ? patience_ms : 0) * 1000;
    runtime_drain(host->runtime);
    if (was_up) {
        host->state = LATCHKEY_STATE_STOPPING;
        look_again(host);
    } else {
        be_stopped(host);
    }
    return true;
}

/* May free the host. */
static void tell_stopped(struct latchkey *host)
{
    latchkey_stopped_fn *done = host->stopped;
    host->tells_stop = false;
    if (done)
        done(host, host->stopped_arg);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct latchkey *host = arg;
    (void)fd;
    (void)what;
    latchkey_request_turn(host);
    if (host->tells_start && host->tells_stop)
        event_active(host->turn, EV_TIMEOUT, 0); /* either may free the host: one a turn */
    if (host->tells_start)
        tell_started(host);
    else if (host->tells_stop)
        tell_stopped(host);
}

/* ---- life ---- */

void latchkey_log_to(struct latchkey *host, FILE *stream, enum latchkey_log_level least)
{
    host->log = (struct log){.stream = stream, .least = (enum log_level)least};
}

static bool make(struct latchkey *host, struct latchkey_options *options, struct fault *fault)
{
    host->start_patience_us = options->start_patience_us;
    host->published_by = strdup(options->published_by);
    host->definitions = options->definitions ? strdup(options->definitions) : NULL;
    host->turn = event_new(host->base, -1, 0, on_turn, host);
    host->look = event_new(host->base, -1, 0, on_look, host);
    options->runtime.log = &host->log;
    if (!host->published_by || (options->definitions && !host->definitions) || !host->turn ||
        !host->look)
        return fault_no_memory(fault);
    return runtime_new(host->base, &options->runtime, &host->runtime, fault);
}

bool latchkey_new(struct event_base *base, const char *const *options, struct latchkey **out,
                  struct latchkey_fault *fault)
{
    struct latchkey_options read;
    struct fault failed;
    struct latchkey *host = NULL;
    if (!latchkey_option_read(options, &read, &failed))
        return latchkey_fault_tell(&failed, fault);
    host = calloc(1, sizeof *host);
    if (!host) {
        fault_no_memory(&failed);
        return latchkey_fault_tell(&failed, fault);
    }
    host->base = base;
    TAILQ_INIT(&host->held);
    TAILQ_INIT(&host->begun);
    LIST_INIT(&host->actions);
    if (!make(host, &read, &failed)) {
        latchkey_free(host);
        return latchkey_fault_tell(&failed, fault);
    }
    *out = host;
    return true;
}

void latchkey_free(struct latchkey *host)
{
    if (!host || host->state == LATCHKEY_STATE_FREEING)
        return;
    host->state = LATCHKEY_STATE_FREEING;
    runtime_free(host->runtime);
    host->runtime = NULL;
    latchkey_request_turn(host);
    if (host->tells_start) {
        fault_set(&host->start_fault, FAULT_CANCELLED, "the host is stopping");
        tell_started(host);
    }
    assert(TAILQ_EMPTY(&host->begun));
    latchkey_action_forget_all(host);
    if (host->turn)
        event_free(host->turn);
    if (host->look)
        event_free(host->look);
    free(host->definitions);
    free(host->published_by);
    free(host);
}
