/*
 * What an execution came to: the same everywhere (command line, HTTP, C).
 */
#pragma once
#include "execution_status.h"
#include "json.h"
#include "uuid.h"

#include <stdint.h>

/* What is behind a status that has several causes. Not part of the JSON. */
enum result_cause {
    CAUSE_DATABASE, /* failed: the database refused or is away, or the host stopped */
    CAUSE_SCRIPT,   /* failed: the script raised, or a limit was spent */
    CAUSE_REASON,   /* failed: the script called fail(reason) */
    CAUSE_KEY,      /* invalid: the idempotency key was used with another input */
};

struct result {
    char id[UUID_TEXT_BYTES]; /* of the instance */
    const char *workflow;     /* "" if not known */
    int version;              /* 0 if not known */
    const char *activity;     /* "" if not known */
    enum execution_status status;
    const json_t *output;     /* NULL = null */
    const char *reason;       /* "" = null; one sentence with the place */
    const char *const *paths; /* canonical lock paths, in order */
    int n_paths;
    int64_t token;     /* of the lease that it held; 0 = null */
    int64_t waited_us; /* from the submission to the grant, or to the end without one */
    int64_t held_us;   /* from the grant to the release */
    int attempts;
    bool replayed;
    enum result_cause cause;
    bool job_lost;  /* another host has the job: nothing was done here; not part of the JSON */
    bool overtaken; /* its instance had changed since it was looked up; not part of the JSON */
};

/* {"id","workflow","version","activity","status","output","reason","lock":{...},"attempts",
 * "replayed"} as a new object; NULL without memory. */
json_t *result_to_json(const struct result *result);

/* The same back from such an object, whose texts are borrowed. paths has room for n_paths_max. */
MUST_CHECK bool result_read(const json_t *json, const char **paths, int n_paths_max,
                            struct result *out, struct fault *fault);
