/*
 * The rows of the instances that a batch's members belong to: read under their locks, to see that
 * nobody has changed them meanwhile, and written with the members' changes.
 */
#pragma once
#include "batch_state.h"

/* Adds the statement that reads the rows of members whose instance has one. Returns its index,
 * NO_STATEMENT if there is none. */
int batch_instances_add_read(struct batch *batch);

/* Drops the members whose instance is not what they know: gone, or changed by another host. */
void batch_instances_read(struct batch *batch, const PGresult *rows);

/* Adds the statements that write what the kept members have staged. */
MUST_CHECK bool batch_instances_add_saves(struct batch *batch, struct fault *fault);
