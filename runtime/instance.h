/*
 * An instance of a workflow as one run knows it: what its row held, and what the activity that runs
 * makes of it. The latter becomes true by the commit and not before.
 */
#pragma once
#include "json.h"

#include <stdbool.h>
#include <stdint.h>

struct text;

enum instance_step {
    STEP_ENDS,    /* the workflow ends with this activity */
    STEP_GOES_ON, /* another activity follows at once */
    STEP_IDLES,   /* the next activity waits for an event */
};

struct instance_next {
    enum instance_step step;
    bool only_persists; /* no activity has run: the row is written as it stands before the next */
    int activity;       /* index: the next one, or the one that ended the workflow */
    json_t *vars;       /* owned; NULL = none */
    json_t *output;     /* owned; NULL = as before */
};

struct instance {
    bool stored;           /* it has a row */
    bool owned;            /* the row says that this process runs it */
    bool has_idled;        /* its row outlives its end, whatever the workflow's history */
    int64_t state_version; /* of the row */
    int steps;             /* activities run so far */
    json_t *vars;          /* owned; NULL = none */
    json_t *output;        /* owned; NULL = none */
    struct instance_next next;
};

void instance_done(struct instance *instance);

/* Takes over vars and output, both may be NULL. What was staged before is dropped. */
void instance_stage(struct instance *instance, enum instance_step step, int activity, json_t *vars,
                    json_t *output);

/* Its state as it is, before `activity`: a commit point at which no activity has run. */
void instance_stage_as_is(struct instance *instance, int activity);

/* The transaction that stored it has committed. */
void instance_adopt(struct instance *instance, bool stored);

/* What its row says, in words: "it is idle before activity 'pay' and waits for event 'paid'".
 * Any but status may be NULL. */
void instance_add_state(struct text *out, const char *status, const char *activity,
                        const char *wait_for, const char *process);
