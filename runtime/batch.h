/*
 * A transaction that carries one or more executions: takes their locks, loads their rows, runs
 * their scripts one after the other in memory, saves what changed, commits, and only then lets go.
 * To its members it must look as if each had run alone, in their order.
 */
#pragma once
#include "batch_rows.h"
#include "execution.h"
#include "scheduler.h"

struct batch;

/* Asks for a connection; scheduler_fill is called when it is there. */
MUST_CHECK bool batch_start(struct runtime *runtime, enum batch_kind kind, struct fault *fault);

enum batch_kind batch_kind(const struct batch *batch);

/* True if the execution may be admitted; an empty batch has room for any one. */
bool batch_has_room(struct batch *batch, const struct execution *execution);
void batch_admit(struct batch *batch, struct execution *execution);
int batch_n_members(const struct batch *batch);
struct execution *batch_member(const struct batch *batch, int i);

/* At the end of the runtime: gives up; its members' outcomes are set and they are answered. */
void batch_abandon(struct batch *batch);
