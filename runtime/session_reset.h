/*
 * After a script's own SQL a session may be left with settings, a role, advisory locks and
 * temporary tables of the script's: set_config(..., false), pg_advisory_lock, SELECT INTO TEMP.
 * They go before the connection returns to the pool.
 */
#pragma once

struct pg_conn;
struct pg_pipeline;
struct runtime;
struct session_reset;

/* Takes the connection over: gives it to the pool once it is clean, or closed. */
void session_reset_start(struct runtime *runtime, struct pg_conn *conn);

/* The same behind a pooler, where the session is ours to the end of the pipeline only: adds it
 * after the COMMIT or ROLLBACK. That it fails says nothing of the transaction. */
void session_reset_add(const struct runtime *runtime, struct pg_pipeline *pipeline);

/* At the end of the runtime. */
void session_reset_cancel(struct session_reset *reset);
