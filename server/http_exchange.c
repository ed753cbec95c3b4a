#include "http_exchange.h"

#include "clock.h"
#include "http_guard.h"
#include "http_log.h"
#include "http_route.h"
#include "http_server.h"
#include "runtime.h"
#include "uuid.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    LIMIT_DEFAULT = 100,
    LIMIT_MAX = 1000,
};

const char *http_header(const struct http_exchange *exchange, const char *name)
{
    return exchange->request
               ? evhttp_find_header(evhttp_request_get_input_headers(exchange->request), name)
               : NULL;
}

const char *http_query(const struct http_exchange *exchange, const char *name)
{
    return exchange->query ? evhttp_find_header(exchange->query, name) : NULL;
}

const char *http_body_bytes(const struct http_exchange *exchange, size_t *n_bytes)
{
    struct evbuffer *input = evhttp_request_get_input_buffer(exchange->request);
    *n_bytes = evbuffer_get_length(input);
    const char *bytes = *n_bytes ? (const char *)evbuffer_pullup(input, -1) : "";
    return bytes ? bytes : (*n_bytes = 0, "");
}

/* ---- the body ---- */

static const char *type_name(int type)
{
    switch (type) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    default: return "a value";
    }
}

static const struct http_field *find_field(const struct http_field *fields, const char *name)
{
    const struct http_field *field = fields;
    while (field->name && strcmp(field->name, name) != 0)
        field++;
    return field->name ? field : NULL;
}

/* The problem is made for the first error: most bodies have none. */
static void add_error(json_t **problem, const char *name, const char *words, const char *more)
{
    char pointer[128] = "/", detail[256];
    size_t n = 1;
    for (const char *c = name; *c && n < sizeof pointer - 2; c++) { /* RFC 6901 */
        if (*c == '~' || *c == '/') {
            pointer[n++] = '~';
            pointer[n++] = *c == '~' ? '0' : '1';
        } else {
            pointer[n++] = *c;
        }
    }
    pointer[n] = '\0';
    snprintf(detail, sizeof detail, "%s%s", words, more);
    if (!*problem)
        *problem = http_problem_new(400, NULL, "the body is not as this route wants it");
    http_problem_add(*problem, pointer, 0, 0, detail);
}

/* Everything that is wrong, at once. */
static bool check_fields(struct http_exchange *exchange, const struct http_field *fields)
{
    const char *name;
    json_t *value, *problem = NULL;
    bool ok = true;
    json_object_foreach(exchange->body, name, value)
    {
        const struct http_field *field = find_field(fields, name);
        if (field && (field->type == JSON_NULL || (int)json_typeof(value) == field->type))
            continue;
        add_error(&problem, name, field ? "this is not " : "there is no such field",
                  field ? type_name(field->type) : "");
        ok = false;
    }
    for (const struct http_field *field = fields; field->name; field++)
        if (field->required && !json_object_get(exchange->body, field->name)) {
            add_error(&problem, field->name, "this field is missing", "");
            ok = false;
        }
    if (!ok)
        http_reply_problem(exchange, problem);
    return ok;
}

static void reply_unreadable(struct http_exchange *exchange, const struct fault *fault)
{
    int line = 0, column = 0, n = 0;
    json_t *problem = http_problem_new(400, NULL, fault->text);
    if (sscanf(fault->text, "body: line %d, column %d: %n", &line, &column, &n) == 2 && n > 0)
        http_problem_add(problem, "", line, column, fault->text + n);
    http_reply_problem(exchange, problem);
}

bool http_body(struct http_exchange *exchange, const struct http_field *fields)
{
    struct fault fault;
    size_t n_bytes;
    const char *bytes = http_body_bytes(exchange, &n_bytes);
    bool needs_any = false;
    for (const struct http_field *field = fields; field->name; field++)
        needs_any = needs_any || field->required;
    if (n_bytes == 0 && !needs_any) {
        exchange->body = json_object();
        return exchange->body || (http_reply_json(exchange, 200, NULL), false);
    }
    if (!json_read("body", bytes, n_bytes, &exchange->body, &fault)) {
        reply_unreadable(exchange, &fault);
        return false;
    }
    if (!json_is_object(exchange->body)) {
        http_reply_bad(exchange, "", "the body is not an object");
        return false;
    }
    return check_fields(exchange, fields);
}

/* ---- parameters ---- */

bool http_param_is_id(struct http_exchange *exchange, int param)
{
    if (uuid_is_text(exchange->params[param]))
        return true;
    http_reply_error(exchange, 404, "there is nothing with that id: it is not a UUID");
    return false;
}

bool http_query_is_id(struct http_exchange *exchange, const char *name)
{
    const char *text = http_query(exchange, name);
    if (!text || uuid_is_text(text))
        return true;
    http_reply_error(exchange, 400, "the parameter '%s' wants an id, a UUID", name);
    return false;
}

bool http_query_limit(struct http_exchange *exchange)
{
    const char *text = http_query(exchange, "limit");
    char *end = NULL;
    exchange->limit = LIMIT_DEFAULT;
    if (!text)
        return true;
    exchange->limit = strtol(text, &end, 10);
    if (*text >= '0' && *text <= '9' && !*end && exchange->limit >= 1 &&
        exchange->limit <= LIMIT_MAX)
        return true;
    http_reply_error(exchange, 400, "the parameter 'limit' wants a whole number from 1 to %d",
                     LIMIT_MAX);
    return false;
}

/* ---- replies ---- */

void http_add_header(struct http_exchange *exchange, const char *name, const char *value)
{
    if (exchange->request)
        evhttp_add_header(evhttp_request_get_output_headers(exchange->request), name, value);
}

static void add_own_headers(struct http_exchange *exchange, const char *type)
{
    http_add_header(exchange, "Content-Type", type);
    http_add_header(exchange, "X-Request-Id", exchange->caller.request_id);
    http_add_header(exchange, "X-Content-Type-Options", "nosniff");
    http_add_header(exchange, "Cache-Control", "no-store");
    if (http_server_is_draining(exchange->server))
        http_add_header(exchange, "Connection", "close");
}

void http_exchange_streams(struct http_exchange *exchange)
{
    add_own_headers(exchange, "text/event-stream");
    http_server_count(exchange, 200);
}

/* evhttp leaves the request to us unless it still has it. */
void http_exchange_lose_client(struct http_exchange *exchange)
{
    exchange->conn = NULL;
    if (!evhttp_request_get_connection(exchange->request))
        evhttp_request_free(exchange->request);
    exchange->request = NULL;
}

void http_exchange_free(struct http_exchange *exchange)
{
    if (exchange->conn)
        http_guard_on_close(exchange->conn, NULL, NULL);
    if (exchange->link.le_prev) /* the server is there */
        LIST_REMOVE(exchange, link);
    if (exchange->drop)
        exchange->drop(exchange);
    if (exchange->query)
        evhttp_clear_headers(exchange->query);
    free(exchange->query);
    for (int i = 0; i < HTTP_PARAMS_MAX; i++)
        free(exchange->params[i]);
    json_decref(exchange->body);
    free(exchange->path);
    free(exchange);
}

void http_reply(struct http_exchange *exchange, int status, const char *type, const char *bytes,
                size_t n_bytes)
{
    assert(!exchange->route || http_route_may_answer(exchange->route, status));
    if (exchange->request) {
        struct evbuffer *body = evbuffer_new();
        if (!body || evbuffer_add(body, bytes, n_bytes) != 0)
            status = 503;
        add_own_headers(exchange, type);
        http_server_count(exchange, status);
        http_guard_writes(exchange->conn);
        evhttp_send_reply(exchange->request, status, http_problem_title(status), body);
        if (body)
            evbuffer_free(body);
    } else if (exchange->link.le_prev) { /* the server is there */
        http_log_answer(exchange, http_server_home(exchange->server)->log, status);
    }
    http_exchange_free(exchange);
}

static void reply_value(struct http_exchange *exchange, int status, const char *type, json_t *value)
{
    char *text = value ? json_write(value) : NULL;
    static const char no_memory[] = "{\"title\":\"Service Unavailable\",\"status\":503,"
                                    "\"detail\":\"out of memory\"}";
    if (text)
        http_reply(exchange, status, type, text, strlen(text));
    else
        http_reply(exchange, 503, "application/problem+json", no_memory, sizeof no_memory - 1);
    free(text);
    json_decref(value);
}

void http_reply_json(struct http_exchange *exchange, int status, json_t *value)
{
    reply_value(exchange, status, "application/json", value);
}

void http_reply_problem(struct http_exchange *exchange, json_t *problem)
{
    int status = (int)json_integer_value(json_object_get(problem, "status"));
    if (status == 503)
        http_add_header(exchange, "Retry-After", "1");
    reply_value(exchange, status, "application/problem+json", problem);
}

void http_reply_error(struct http_exchange *exchange, int status, const char *format, ...)
{
    char detail[FAULT_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    http_reply_problem(exchange, http_problem_new(status, NULL, detail));
}

void http_reply_bad(struct http_exchange *exchange, const char *pointer, const char *format, ...)
{
    char detail[FAULT_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    json_t *problem = http_problem_new(400, NULL, detail);
    http_problem_add(problem, pointer, 0, 0, detail);
    http_reply_problem(exchange, problem);
}

void http_reply_fault(struct http_exchange *exchange, const struct fault *fault)
{
    int status = 500;
    const char *kind = NULL;
    switch (fault->kind) {
    case FAULT_INVALID: status = 400; break;
    case FAULT_MISSING: status = 404; break;
    case FAULT_CONFLICT: status = 409; break;
    case FAULT_DATABASE:
    case FAULT_EXHAUSTED:
    case FAULT_CANCELLED: status = 503; break;
    case FAULT_UNKNOWN:
        status = 503;
        kind = "unknown-outcome";
        break;
    case FAULT_NONE:
    case FAULT_SCRIPT: break;
    }
    http_reply_problem(exchange, http_problem_new(status, kind, fault->text));
}

int http_result_status(const struct result *result)
{
    switch (result->status) {
    case STATUS_FAILED:
        switch (result->cause) {
        case CAUSE_REASON: return 422;
        case CAUSE_SCRIPT: return 500;
        case CAUSE_DATABASE:
        case CAUSE_KEY: return 503;
        }
        return 503;
    case STATUS_INVALID: return result->cause == CAUSE_KEY ? 422 : 400;
    case STATUS_COMPLETED:
    case STATUS_IDLE:
    case STATUS_QUEUED:
    case STATUS_LOCKED:
    case STATUS_BLOCKED:
    case STATUS_MISSING:
    case STATUS_CONFLICT:
    case STATUS_EXPIRED:
    case STATUS_UNKNOWN: break;
    }
    return execution_status_row(result->status)->http_status;
}

void http_reply_result(struct http_exchange *exchange, const struct result *result)
{
    int status = http_result_status(result);
    http_log_result(exchange, result);
    if (status == 423 || status == 503)
        http_add_header(exchange, "Retry-After", "1");
    http_reply_json(exchange, status, result_to_json(result));
}

/* ---- lists ---- */

static void on_listed(const struct pg_result *rows, const struct fault *fault, void *arg)
{
    struct http_exchange *exchange = arg;
    struct fault failed;
    json_t *list = NULL, *next = NULL;
    const char *text = rows ? PQgetvalue(rows, 0, 0) : NULL;
    if (!rows) {
        http_reply_fault(exchange, fault);
    } else if (!json_read("the list", text, strlen(text), &list, &failed)) {
        failed.kind = FAULT_EXHAUSTED;
        http_reply_fault(exchange, &failed);
    } else {
        size_t n = json_array_size(list);
        if (n > 0 && (int64_t)n == exchange->limit)
            next = json_incref(json_object_get(json_array_get(list, n - 1), "id"));
        http_reply_json(
            exchange, 200,
            json_pack("{s:o, s:o}", exchange->work, list, "next", next ? next : json_null()));
    }
}

void http_reply_list(struct http_exchange *exchange, const char *name, const char *query,
                     int n_params, const char *const *params)
{
    struct fault fault;
    exchange->work = (void *)name;
    if (!runtime_inquire(http_server_runtime(exchange->server), query, n_params, params, on_listed,
                         exchange, &fault))
        http_reply_fault(exchange, &fault);
}
