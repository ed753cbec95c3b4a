/*
 * The runtime's side of native actions (action.h): which ones a host has, and one run of one. A run
 * belongs to the script that stands for its activity and to whoever wrote the action; it goes when
 * both have let go of it.
 */
#pragma once
#include "action.h"
#include "uuid.h"

struct script;

enum action_state {
    ACTION_RUNS,   /* awaits action_done or action_fail */
    ACTION_DONE,   /* what it set may be saved */
    ACTION_FAILED, /* fault says why */
};

struct action {
    struct script *script; /* NULL = cancelled */
    enum action_state state;
    char instance[UUID_TEXT_BYTES];
    char *activity; /* owned */
    json_t *input, *event, *vars, *output;
    int64_t deadline_us; /* on the monotonic clock */
    int64_t token;       /* 0 = no lease */
    struct fault fault;
    action_fn *cancelled;
    void *cancelled_arg;
    void (*ended)(void *arg); /* told when it ends, unless cancelled; never inside action_run_new */
    void *ended_arg;
};

/* A run for a script that has no task. deadline_us on the monotonic clock. *out is let go of by
 * action_run_release. */
MUST_CHECK bool action_run_new(struct script *script, int64_t deadline_us, struct action **out,
                               struct fault *fault);

/* The script lets go: a run that has not ended is cancelled. NULL is fine. */
void action_run_release(struct action *action);

/* The function registered by that name and its argument; NULL if there is none. */
action_fn *action_run_find(const struct runtime *runtime, const char *name, void **arg);

/* At the end of the runtime. */
void action_run_forget_all(struct runtime *runtime);
