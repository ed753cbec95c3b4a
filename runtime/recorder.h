/*
 * Writes the history rows of executions that kept nothing, then answers them. Many that end at once
 * share one small transaction; with the database away they are answered without a row.
 */
#pragma once
#include "execution.h"

struct recorder;

MUST_CHECK bool recorder_new(struct runtime *runtime, struct recorder **out, struct fault *fault);
void recorder_free(struct recorder *recorder);

/* The execution is answered when its row is written or could not be. */
void recorder_add(struct recorder *recorder, struct execution *execution);

/* At the end of the runtime: answers all that wait, without rows. */
void recorder_abandon(struct recorder *recorder);
