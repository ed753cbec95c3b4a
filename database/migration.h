/*
 * Brings the schema to what this program needs: runs the migrations that are not recorded yet, in
 * order, in one transaction, under an advisory lock, so that two hosts starting at once is normal.
 */
#pragma once
#include "pg_conn.h"

/* Same shape as the generated LAYER_migrations arrays, which end in {NULL, NULL}. */
struct sql_text;

enum {
    PG_VERSION_MIN = 140000,
};

struct migration;

/* fault NULL = done. Called exactly once, from the loop, never before migration_start has returned;
 * not after migration_cancel. The connection is idle, or broken. */
typedef void migration_done_fn(int n_applied, const struct fault *fault, void *arg);

/* lists: n_lists arrays, run in the order given. The schema is that of the connection's options and
 * is created if missing; applied names are recorded in @schema@.migration(name, applied_at).
 * schema, lists and the connection are kept until done, which is told how many were run now. *out
 * may be used to cancel until then.
 * Fails, or is told, with FAULT_DATABASE: a server older than 14, a standby, no right to create or
 * use the schema, a failing statement (its migration is named), a recorded migration that the lists
 * do not have: a newer program has been here. */
MUST_CHECK bool migration_start(struct pg_conn *conn, const char *schema,
                                const struct sql_text *const *lists, int n_lists,
                                migration_done_fn *done, void *arg, struct migration **out,
                                struct fault *fault);

/* done is not called. The connection is left as it is: busy, of no more use. NULL is fine. */
void migration_cancel(struct migration *run);

/* The same, running the loop until it is done: never in a callback. *n_applied may be NULL. */
MUST_CHECK bool migration_run(struct event_base *base, struct pg_conn *conn, const char *schema,
                              const struct sql_text *const *lists, int n_lists, int *n_applied,
                              struct fault *fault);
