/*
 * A text of several statements, run blocking by the simple protocol.
 */
#pragma once
#include "pg_fault.h"
#include "pg_statements.h"

/* Leaves the connection's pipeline mode. Fails with the first failure; COPY is one. */
MUST_CHECK bool pg_script_run(PGconn *pq, const struct pg_statements *statements, const char *text,
                              struct fault *fault);
