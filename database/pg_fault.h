/*
 * What PostgreSQL and libpq say of a failure, as a struct fault.
 */
#pragma once
#include "fault.h"

#include <libpq-fe.h>
#include <stdint.h>

/* From a failed PGresult: FAULT_DATABASE with sqlstate and "primary; detail; hint". */
void pg_fault_from_result(const PGresult *result, struct fault *fault);

/* After such an error the server closes the connection. */
bool pg_fault_ends_connection(const PGresult *result);

/* The sqlstate of an answer that was cut off at pg_conn_options.answer_bytes_max. The connection is
 * lost with it; pg_answer.failed is the statement whose rows were too many. */
#define PG_ANSWER_TOO_LARGE "54000"

/* An answer was larger than so many bytes. */
void pg_fault_of_size(int64_t most_bytes, struct fault *fault);

/* libpq's own way to say that the connection is gone; no statement failed. */
bool pg_fault_is_made_up(const PGresult *result);

/* After it the connection's prepared statements are of no use: a plan that no longer fits its
 * table, or a session that is another. */
bool pg_fault_wears(const struct fault *fault);

bool pg_fault_is_warning(const PGresult *notice);

/* From the last error of a connection that broke: FAULT_DATABASE without a sqlstate. */
void pg_fault_from_broken(const PGconn *pq, struct fault *fault);

/* From a connection that could not be made. With PQERRORS_VERBOSE the sqlstate is known too. */
void pg_fault_from_connecting(const PGconn *pq, struct fault *fault);

/* True for failures to connect that no waiting heals: wrong credentials, no such database or role,
 * a refused option. */
bool pg_fault_is_final(const struct fault *fault);
