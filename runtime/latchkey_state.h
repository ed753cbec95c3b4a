/*
 * What the parts of the library share: a host for C programs is a runtime, and requests that wait
 * for it to be up.
 *
 *   NEW --latchkey_start--> STARTING --up--> UP --latchkey_stop--> STOPPING --> LEAVING --> STOPPED
 *    \_________________________/ failed
 *
 * Callbacks of requests come from the runtime's; those of latchkey_start and latchkey_stop from an
 * event of the host's own, so that they may free it.
 */
#pragma once
#include "latchkey.h"
#include "latchkey_fault.h"
#include "log.h"
#include "runtime.h"

#include <sys/queue.h>

struct event;

enum latchkey_state {
    LATCHKEY_STATE_NEW,
    LATCHKEY_STATE_STARTING, /* awaits runtime_enter */
    LATCHKEY_STATE_UP,
    LATCHKEY_STATE_STOPPING, /* awaits the end of what is under way, or of the patience */
    LATCHKEY_STATE_LEAVING,  /* awaits runtime_leave */
    LATCHKEY_STATE_STOPPED,
    LATCHKEY_STATE_FREEING, /* inside latchkey_free */
};

struct latchkey_request;
struct registered; /* an action, latchkey_action.c */
TAILQ_HEAD(latchkey_line, latchkey_request);

struct latchkey {
    struct event_base *base;
    struct runtime *runtime;
    struct log log;
    enum latchkey_state state;
    int64_t start_patience_us;
    char *definitions; /* NULL = none */
    char *published_by;
    struct event *turn; /* held requests go on; the end of start and stop is told */
    struct event *look; /* while stopping: is it over? */
    bool tells_start, tells_stop;
    struct fault start_fault; /* FAULT_NONE: it is up */
    latchkey_started_fn *started;
    void *started_arg;
    latchkey_stopped_fn *stopped;
    void *stopped_arg;
    int64_t patience_until_us;
    int jobs_max;              /* background work is wanted; 0 = not, -1 = as by default */
    struct latchkey_line held; /* wait for the start, or for a publishing before them */
    struct latchkey_line begun;
    int n_held;
    int n_apart; /* of begun: those that are no execution of the runtime's, or not yet */
    int n_publishing;
    LIST_HEAD(, registered) actions;
};

/* ---- latchkey_request.c ---- */

/* Begins what is held and may begin now. Where the start has failed, or the host ends, they are
 * told so. */
void latchkey_request_turn(struct latchkey *host);

/* ---- latchkey_action.c ---- */

/* After runtime_free. */
void latchkey_action_forget_all(struct latchkey *host);

/* ---- latchkey_option.c ---- */

struct latchkey_options {
    struct runtime_options runtime;
    int64_t start_patience_us;
    const char *definitions; /* these borrowed, as are those of runtime */
    const char *published_by;
};

MUST_CHECK bool latchkey_option_read(const char *const *texts, struct latchkey_options *out,
                                     struct fault *fault);
