/*
 * What a `run` runs: how many, and the input of each. An input is the common object, with the
 * fields of a line of the inputs file over it, with the drawn fields over that.
 */
#pragma once
#include "json.h"

#include <stdint.h>

struct run_plan;

enum {
    RUN_PLAN_COUNT_MAX = 1000 * 1000 * 1000,
    RUN_PLAN_VARIES_MAX = 16,
};

/* All texts are lent for the call. */
struct run_plan_source {
    const char *input;         /* JSON, NULL = {} */
    const char *inputs_file;   /* one object a line; NULL = none */
    const char *const *varies; /* "name=1..10000" */
    int n_varies;
    int64_t count; /* 0 = as many as the file has lines, or one; lines are taken in turn */
};

/* *out is yours to free. Fails with FAULT_INVALID: bad JSON with its place, no object, ... */
MUST_CHECK bool run_plan_new(const struct run_plan_source *source, struct run_plan **out,
                             struct fault *fault);
void run_plan_free(struct run_plan *plan);

int64_t run_plan_count(const struct run_plan *plan);

/* True for one run that is to answer with its result, not with totals. */
bool run_plan_is_single(const struct run_plan *plan);

/* The input of run number seq, from 0; drawn anew at each call. A new reference, NULL without
 * memory. */
json_t *run_plan_input(struct run_plan *plan, int64_t seq);
