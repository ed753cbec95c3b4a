/*
 * The events that the scripts of a batch's members have emitted: each starts the workflows whose
 * triggers name it, by a job that is made in the transaction of the member's changes.
 */
#pragma once
#include "batch_state.h"

MUST_CHECK bool batch_events_add_saves(struct batch *batch, struct fault *fault);
