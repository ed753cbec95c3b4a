/*
 * A text of several statements, run blocking by the simple protocol.
 */
#pragma once
#include "pg_fault.h"

/* The connection must not be in pipeline mode. Fails with the first failure; COPY is one. */
MUST_CHECK bool pg_script_run(PGconn *pq, const char *text, struct fault *fault);
