/*
 * The samples that `demo` shows: a folder of samples/ and a row here. The folder has a schema.sql,
 * may have a check.sql, which is loaded after it, and a definition for each variant; or it is
 * played in a way of its own.
 */
#pragma once
#include "fault.h"

#include <stdint.h>

struct command_line;
struct demo_place;

/* Plays a sample in a way of its own, from loading its tables on. Returns the exit code. */
typedef int demo_play_fn(const struct command_line *line, struct demo_place *place);

struct demo_variant {
    const char *file;
    const char *words;
    int64_t count; /* of runs */
    bool exact;    /* nothing may be wrong after it */
};

struct demo_sample {
    const char *name; /* the folder's */
    const char *words;
    demo_play_fn *play; /* NULL = its variants, by what follows */
    int n_hosts;
    int concurrency;    /* of all together */
    const char *vary;   /* "name=1..10", or NULL */
    const char *inputs; /* a file of the folder, one input a line, or NULL */
    const char *reset;  /* a script before each variant */
    bool turns_away;    /* `locked` and `blocked` are answers that are expected */

    /* What is looked at afterwards: a column each, and a query that gives one number. */
    const char *counter_name;
    const char *counter;
    const char *wrong_name;
    const char *wrong; /* $1: how many were completed */

    const struct demo_variant *variants; /* ended by one without a file */
};

/* Ended by one without a name; the first is shown when none is asked for. */
extern const struct demo_sample demo_samples[];

/* NULL if there is none: fault says which there are. */
const struct demo_sample *demo_sample_find(const char *name, struct fault *fault);
