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

/* lists: n_lists arrays, run in the order given. The schema is that of the connection's options and
 * is created if missing; applied names are recorded in @schema@.migration(name, applied_at).
 * *n_applied (may be NULL) counts those run now. Runs the loop; for start-up, never in a callback.
 * Fails with FAULT_DATABASE: a server older than 14, a standby, no right to create or use the
 * schema, a failing statement (its migration is named), a recorded migration that the lists do not
 * have: a newer program has been here. */
MUST_CHECK bool migration_run(struct event_base *base, struct pg_conn *conn, const char *schema,
                              const struct sql_text *const *lists, int n_lists, int *n_applied,
                              struct fault *fault);
