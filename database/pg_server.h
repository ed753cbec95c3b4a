/*
 * The embedded PostgreSQL: a private server under a data directory, for people who have none at
 * hand. Unix socket only, initdb once, run as an unprivileged user when we are root, shared by
 * every process that names the same directory, and still running after they end, until
 * pg_server_stop.
 *
 * Blocking: for commands at start-up and for tests, never inside an event loop.
 */
#pragma once
#include "fault.h"
#include "text.h"

#include <stdbool.h>

/* Starts the server of data_dir if it is not running (creating it if needed) and waits until it
 * takes connections. Two processes at once: one starts it, the other waits. Adds the connection
 * string to *conninfo. *started (may be NULL) tells whether this call started it.
 * Recovers from kill -9 of anything: a stale postmaster.pid, a half-made directory.
 * Fails with FAULT_DATABASE and the reason: no server binaries (names the package), log tail, ...
 */
MUST_CHECK bool pg_server_start(const char *data_dir, struct text *conninfo, bool *started,
                                struct fault *fault);

/* Stops it (fast shutdown) and waits. True also when it was not running. */
MUST_CHECK bool pg_server_stop(const char *data_dir, bool *stopped, struct fault *fault);

/* The connection string if the server is running; FAULT_MISSING otherwise. */
MUST_CHECK bool pg_server_url(const char *data_dir, struct text *conninfo, struct fault *fault);

/* ~/.local/share/latchkey, as root /var/lib/latchkey. */
MUST_CHECK bool pg_server_default_dir(struct text *out, struct fault *fault);
