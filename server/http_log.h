/*
 * The log line of an answer, and who asked: X-Request-Id and the trace id of traceparent, which the
 * runtime's lines about the same work carry too. Neither the path, the query, the body, a token nor
 * a lock path is told.
 */
#pragma once
#include "log.h"

struct http_exchange;

/* Takes over the ids of the request; without one of its own it gets one. */
void http_log_name(struct http_exchange *exchange);

/* What the answer tells of an execution. result is lent. */
struct result;
void http_log_result(struct http_exchange *exchange, const struct result *result);

/* One line. */
void http_log_answer(const struct http_exchange *exchange, const struct log *log, int status);
