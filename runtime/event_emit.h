/*
 * Events from outside: each starts the workflows whose triggers name it, by jobs that are made in
 * one transaction with a mark, so that a lost answer is looked up.
 *
 *   SENT --answer--> told
 *     \__answer lost--> LOOKING UP --> told: it happened, or not
 */
#pragma once
#include "runtime.h"

/* At the end of the runtime: tells all. */
void event_emit_abandon_all(struct runtime *runtime);
