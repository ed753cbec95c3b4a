/*
 * The most frequent end, in one statement rather than four: an execution by itself whose workflow
 * ends with it saves a row, and leaves an instance, a history row and the commit mark. All others
 * go by batch_instances.h, history.h and batch_add_mark.
 */
#pragma once
#include "batch_state.h"

/* True if the batch ends so: then batch_lone_add_kept is all of the three. */
bool batch_lone_ends(const struct batch *batch);

/* True if that statement saves the row as well: then batch_rows_add_saves is left out. */
bool batch_lone_saves(const struct batch *batch);

MUST_CHECK bool batch_lone_add_kept(struct batch *batch, struct fault *fault);
