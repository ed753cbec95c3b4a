/*
 * What a host does for itself and the others, on its reserved connection: it says that it lives,
 * and ends sessions whose published deadline has passed (batch_begin.sql publishes it).
 */
#pragma once
#include "pg_conn.h"

#include <stdint.h>

struct overseer;
struct runtime;

MUST_CHECK bool overseer_new(struct runtime *runtime, struct overseer **out, struct fault *fault);
void overseer_start(struct overseer *overseer);

/* Says that the host lives, before anything is its own. As pg_conn_send. */
MUST_CHECK bool overseer_beat_first(struct overseer *overseer, struct pg_conn *conn,
                                    pg_answer_fn *done, void *arg, struct fault *fault);

/* True if it has beaten twice without having been silent itself between: only then may it judge
 * that others are dead. After a time without a database all are silent, and all live. */
bool overseer_may_judge(const struct overseer *overseer);

/* How long a statement that judges may wait for its connection: it is true for so long. */
int64_t overseer_judgement_us(const struct overseer *overseer);

/* Whose beat is older than so many milliseconds counts as dead; practically for ever if this host
 * may not judge. */
int64_t overseer_silence_ms(const struct overseer *overseer);

/* No more beats. One that is under way keeps the reserved connection to its end, so that what goes
 * over that connection later is later in the database too. */
void overseer_stop(struct overseer *overseer);
void overseer_free(struct overseer *overseer);
