/*
 * What `run` is asked to run: a definition file, or the name of a published workflow.
 */
#pragma once
#include "runtime.h"

struct run_target {
    const char *text;
    bool is_file;
    struct definition *definition; /* of a file, once read */
};

/* A text that can be a workflow's name is one, unless it ends like a file. text is kept. Reads and
 * checks a file and prints its problems. *target wants run_target_done, also after a failure. */
MUST_CHECK bool run_target_read(struct run_target *target, const char *text, bool quiet,
                                struct fault *fault);
void run_target_done(struct run_target *target);

/* The name of the workflow, "" if not known. */
const char *run_target_name(const struct run_target *target);

/* Publishes the file if it changed, or finds the latest version of the name. Runs the loop. */
MUST_CHECK bool run_target_open(struct run_target *target, struct runtime *runtime,
                                struct workflow **out, bool *published, struct fault *fault);

enum {
    PUBLISHER_BYTES = 128,
};

/* Who publishes: user@host. */
void run_target_publisher(char out[PUBLISHER_BYTES]);
