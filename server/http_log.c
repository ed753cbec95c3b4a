#include "http_log.h"

#include "clock.h"
#include "http_exchange.h"
#include "http_route.h"
#include "http_server.h"

#include <stdio.h>
#include <string.h>

enum {
    TRACE_ID = 3, /* where it stands in "00-TRACE-PARENT-01" */
    TRACE_ID_DIGITS = 32,
    PARENT_ID = TRACE_ID + TRACE_ID_DIGITS + 1,
    PARENT_ID_DIGITS = 16,
    FLAGS = PARENT_ID + PARENT_ID_DIGITS + 1,
    TRACEPARENT_CHARS = FLAGS + 2,
    TRACEPARENT_CHARS_MAX = 512,
};

static bool is_printable(const char *text, size_t most)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || (unsigned char)text[i] >= 0x7F)
            return false;
    return length > 0 && length < most;
}

/* Lower case, and not all of them zero. */
static bool is_id(const char *text, size_t n_digits)
{
    return strspn(text, "0123456789abcdef") == n_digits && strspn(text, "0") < n_digits;
}

/* W3C Trace Context: what is not one is as if it were not there. Later versions may go on behind
 * the flags. */
static bool is_traceparent(const char *text)
{
    size_t length = strlen(text);
    bool is_first = strncmp(text, "00", 2) == 0;
    if (length < TRACEPARENT_CHARS || length > TRACEPARENT_CHARS_MAX)
        return false;
    return strspn(text, "0123456789abcdef") == 2 && strncmp(text, "ff", 2) != 0 &&
           text[TRACE_ID - 1] == '-' && is_id(text + TRACE_ID, TRACE_ID_DIGITS) &&
           text[PARENT_ID - 1] == '-' && is_id(text + PARENT_ID, PARENT_ID_DIGITS) &&
           text[FLAGS - 1] == '-' && strspn(text + FLAGS, "0123456789abcdef") == 2 &&
           (is_first ? !text[TRACEPARENT_CHARS]
                     : !text[TRACEPARENT_CHARS] || text[TRACEPARENT_CHARS] == '-');
}

void http_log_name(struct http_exchange *exchange)
{
    const char *id = http_header(exchange, "X-Request-Id");
    const char *trace = http_header(exchange, "traceparent");
    struct log_caller *caller = &exchange->caller;
    if (id && is_printable(id, sizeof caller->request_id))
        snprintf(caller->request_id, sizeof caller->request_id, "%s", id);
    else
        http_server_draw_id(exchange->server, caller->request_id);
    if (trace && is_traceparent(trace)) {
        snprintf(caller->trace_id, sizeof caller->trace_id, "%.*s", TRACE_ID_DIGITS,
                 trace + TRACE_ID);
        snprintf(exchange->parent_id, sizeof exchange->parent_id, "%.*s", PARENT_ID_DIGITS,
                 trace + PARENT_ID);
    }
}

void http_log_result(struct http_exchange *exchange, const struct result *result)
{
    snprintf(exchange->instance, sizeof exchange->instance, "%s", result->id);
    exchange->outcome = execution_status_row(result->status)->name;
}

void http_log_answer(const struct http_exchange *exchange, const struct log *log, int status)
{
    int64_t took_us = clock_monotonic_us() - exchange->started_us;
    const char *route = exchange->route ? exchange->route->pattern : "(no route)";
    const struct log_field fields[] = {
        {.name = "method", .text = exchange->method, .in_text = true},
        {.name = "route", .text = route, .in_text = true},
        {.name = "status", .kind = LOG_FIELD_NUMBER, .number = status, .in_text = true},
        {.name = "duration_ms", .kind = LOG_FIELD_MS, .number = took_us},
        {.name = "request_id", .text = exchange->caller.request_id},
        {.name = "trace_id", .text = exchange->caller.trace_id},
        {.name = "parent_id", .text = exchange->parent_id},
        {.name = "instance", .text = exchange->instance},
        {.name = "outcome", .text = exchange->outcome},
        {.name = "peer", .text = exchange->peer},
        {.name = "by", .text = exchange->who},
    };
    log_fields(log, status >= 500 ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "http", fields,
               (int)(sizeof fields / sizeof *fields), "%s %s %d%s", exchange->method, route, status,
               exchange->request ? "" : ", but the client is gone");
}
