/*
 * Another try for dead jobs: runtime_retry_job.
 */
#pragma once
#include "runtime.h"

/* At the end of the runtime: answers all that wait. */
void job_retry_abandon_all(struct runtime *runtime);
