/*
 * How a connection is begun: our defaults beside the caller's connection string.
 */
#pragma once
#include "pg_conn.h"

/* Begins to connect, not blocking but for host names. *out is yours to PQfinish; it may already
 * have failed (PQstatus). Fails with FAULT_INVALID for a connection string that nobody can read. */
MUST_CHECK bool pg_connecting_start(const struct pg_conn_options *options, PGconn **out,
                                    struct fault *fault);

/* Who answers is told by comparing this with PQbackendPID. */
#define PG_CONNECTING_WHO_TEXT "SELECT pg_catalog.pg_backend_pid()"
