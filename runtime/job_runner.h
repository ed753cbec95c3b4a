/*
 * Background work of a host: fetches jobs with a soft claim and runs them like any execution, fires
 * timers, and takes over what died with other hosts. A claim only keeps others from trying: the
 * job's row is locked again and deleted in the transaction that commits the work.
 *
 *   claimed --> definition loaded --> execution or delivery --> committed: the job is gone
 *                                                           \--> kept nothing: again, or dead
 */
#pragma once
#include "runtime.h"

struct job_runner;

MUST_CHECK bool job_runner_new(struct runtime *runtime, const struct background_options *options,
                               struct job_runner **out, struct fault *fault);

/* Takes no more jobs; those at hand go on. */
void job_runner_drain(struct job_runner *runner);

/* At the end of the runtime, before its executions are answered. */
void job_runner_abandon(struct job_runner *runner);

/* After that, when all have been answered. */
void job_runner_free(struct job_runner *runner);
