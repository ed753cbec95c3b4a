/*
 * Instances that nobody goes on with although their host lives: whoever ran them here was told
 * `unknown`, or the end of the run could not be written. What the rows call this process's own and
 * it has not at hand is left to a job.
 */
#pragma once
#include "pg_pipeline.h"

struct runtime;

/* Adds the statement; none without memory. */
void instance_sweep_add(struct runtime *runtime, struct pg_pipeline *pipeline);
