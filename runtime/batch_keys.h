/*
 * The idempotency keys of a batch's members: read under their locks, bound to the instance in its
 * first commit, and given the answer in the commit of the end. Only what kept changes is recorded.
 */
#pragma once
#include "batch_state.h"

/* Adds the statement that reads the keys of open members. Returns its index, or NO_STATEMENT. */
int batch_keys_add_read(struct batch *batch);

/* Members whose key is in use do not run: they replay the recorded answer, wait for the instance
 * that has the key, or go on with it where it stopped. */
void batch_keys_read(struct batch *batch, const PGresult *rows);

/* After a member was kept: those with the same key wait for the commit. */
void batch_keys_hold_back(struct batch *batch, struct member *member);

MUST_CHECK bool batch_keys_add_saves(struct batch *batch, struct fault *fault);
