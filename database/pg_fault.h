/*
 * What PostgreSQL and libpq say of a failure, as a struct fault.
 */
#pragma once
#include "fault.h"

#include <libpq-fe.h>

/* From a failed PGresult: FAULT_DATABASE with sqlstate and "primary; detail; hint". */
void pg_fault_from_result(const PGresult *result, struct fault *fault);

/* After such an error the server closes the connection. */
bool pg_fault_ends_connection(const PGresult *result);

bool pg_fault_is_warning(const PGresult *notice);

/* From the last error of a connection that broke: FAULT_DATABASE without a sqlstate. */
void pg_fault_from_broken(const PGconn *pq, struct fault *fault);

/* From a connection that could not be made. With PQERRORS_VERBOSE the sqlstate is known too. */
void pg_fault_from_connecting(const PGconn *pq, struct fault *fault);

/* True for failures to connect that no waiting heals: wrong credentials, no such database or role,
 * a refused option. */
bool pg_fault_is_final(const struct fault *fault);
