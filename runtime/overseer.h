/*
 * What a host does for itself and the others, on its reserved connection: it says that it lives,
 * and ends sessions whose published deadline has passed (batch_begin.sql publishes it).
 */
#pragma once
#include "fault.h"

struct overseer;
struct pg_conn;
struct runtime;

MUST_CHECK bool overseer_new(struct runtime *runtime, struct overseer **out, struct fault *fault);
void overseer_start(struct overseer *overseer);

/* Says that the host lives, before anything is its own. Runs the loop. */
MUST_CHECK bool overseer_beat_now(struct overseer *overseer, struct pg_conn *conn,
                                  struct fault *fault);

/* How often this process has said so since: one that has been silent itself judges nobody. */
int overseer_n_beats(const struct overseer *overseer);

/* No more beats. */
void overseer_stop(struct overseer *overseer);
void overseer_free(struct overseer *overseer);
