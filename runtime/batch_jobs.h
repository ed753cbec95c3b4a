/*
 * The jobs that a batch's members come from: locked again under the members' locks, and deleted in
 * the transaction that commits their work.
 */
#pragma once
#include "batch_state.h"

/* Adds the statement that locks the jobs of open members. Returns its index, or NO_STATEMENT. */
int batch_jobs_add_lock(struct batch *batch);

/* Drops the members whose job is no longer this process's; nobody needs to be told. */
void batch_jobs_read(struct batch *batch, const PGresult *rows);

/* The instance of a batch of one is written before its work is done: a job that starts it becomes
 * one that goes on with it. */
void batch_jobs_add_going_on(struct batch *batch);

MUST_CHECK bool batch_jobs_add_saves(struct batch *batch, struct fault *fault);
