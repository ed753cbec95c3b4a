/*
 * A batch that lost its transaction: did an operator break one of its locks? The break was recorded
 * (latchkey.lock_break) before the session was ended, so the host asks on its reserved connection.
 * Members that hold a broken path end expired, the others run again.
 */
#pragma once
#include "batch_state.h"

/* True: the answer is kept and the question under way; batch_failed is called again once it is
 * settled. False: there is nothing to ask, or no way to. */
bool batch_broken_ask(struct batch *batch, const struct pg_answer *answer);

/* Ends the members that hold what was broken; the last word on their fate. */
void batch_broken_drop(struct batch *batch);

void batch_broken_free(struct batch_broken *broken); /* NULL is fine */

/* Batches whose connection went while they wait for nothing from it (a script sleeps): they are
 * over now, and not when they use it next. */
void batch_broken_notice(struct runtime *runtime);
