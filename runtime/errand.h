/*
 * One transaction on a connection of the pool: taken, sent, answered, given back.
 */
#pragma once
#include "pg_pipeline.h"
#include "pg_pool.h"

struct errand;
struct runtime;

/* answer->fault says why where there was no connection (nothing_sent) or no success. The errand is
 * over and the connection given back before; called once, from the loop, unless cancelled. */
typedef void errand_done_fn(struct pg_answer *answer, void *arg);

/* A pipeline for an errand that writes: its transaction is begun, and the first statement added to
 * it has index 1. NULL without memory. */
struct pg_pipeline *errand_pipeline(void);

/* The pipeline, of errand_pipeline or, to read only, of pg_pipeline_new, is owned by the errand,
 * also on failure; NULL counts as lack of memory. What it has begun is committed. *out may be used
 * to cancel until done runs. */
MUST_CHECK bool errand_start(struct runtime *runtime, enum pg_pool_line line,
                             struct pg_pipeline *pipeline, int64_t wait_us, int64_t answer_us,
                             errand_done_fn *done, void *arg, struct errand **out,
                             struct fault *fault);

/* For a pipeline that reads, right after errand_start: what it says is known only once there is a
 * connection. fill adds it then; it is not called where there is none. */
typedef void errand_fill_fn(struct pg_pipeline *pipeline, void *arg);
void errand_fill_late(struct errand *errand, errand_fill_fn *fill);

void errand_cancel(struct errand *errand); /* NULL is fine */
