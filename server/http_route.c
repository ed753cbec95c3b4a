#include "http_route.h"

#include "http_handlers.h"
#include "text.h"
#include "utf8.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define VIEWER HTTP_ROLE_VIEWER
#define OPERATOR HTTP_ROLE_OPERATOR
#define DESIGNER HTTP_ROLE_DESIGNER

/* clang-format off */
const struct http_route http_routes[] = {
    {"POST", "/v1/workflows/{name}/instances", OPERATOR, http_instances_start, HTTP_BODY_OPTIONAL,
     "", "Idempotency-Key Prefer ", "Start", "Result", "Start an instance of a workflow",
     {200, 202, 404, 409, 422, 423, 504, 0}},
    {"GET", "/v1/instances", VIEWER, http_instances_list, HTTP_BODY_NONE,
     "workflow status all after limit ", "", "", "Instances", "List instances, the newest first",
     {200, 0}},
    {"GET", "/v1/instances/{id}", VIEWER, http_instances_show, HTTP_BODY_NONE,
     "", "", "", "Instance", "Show an instance", {200, 404, 0}},
    {"GET", "/v1/instances/{id}/history", VIEWER, http_instances_history, HTTP_BODY_NONE,
     "", "", "", "History", "List the executions of an instance, the oldest first", {200, 404, 0}},
    {"POST", "/v1/instances/{id}/events/{event}", OPERATOR, http_instances_deliver,
     HTTP_BODY_OPTIONAL, "", "", "Event", "Result", "Send an event to an instance that waits for it",
     {200, 404, 409, 422, 423, 504, 0}},
    {"POST", "/v1/instances/{id}/resume", OPERATOR, http_instances_resume, HTTP_BODY_OPTIONAL,
     "", "", "Nothing", "Result", "Run a stopped instance on", {200, 404, 409, 422, 423, 504, 0}},
    {"POST", "/v1/events/{event}", OPERATOR, http_events_emit, HTTP_BODY_OPTIONAL,
     "", "", "Event", "Emitted", "Start the workflows whose triggers name an event", {202, 404, 0}},
    {"GET", "/v1/workflows", VIEWER, http_workflows_list, HTTP_BODY_NONE,
     "", "", "", "Workflows", "List the latest version of each workflow", {200, 0}},
    {"GET", "/v1/workflows/{name}", VIEWER, http_workflows_show, HTTP_BODY_NONE,
     "version ", "If-None-Match ", "", "Definition", "Read a definition as it was written",
     {200, 304, 404, 0}},
    {"PUT", "/v1/workflows/{name}", DESIGNER, http_workflows_put, HTTP_BODY_DEFINITION,
     "", "If-Match If-None-Match ", "Definition", "Published", "Publish a definition",
     {200, 201, 409, 412, 428, 0}},
    {"POST", "/v1/definitions/reload", OPERATOR, http_definitions_reload, HTTP_BODY_OPTIONAL,
     "", "", "Nothing", "Reloaded", "Import the definitions directory of this host",
     {200, 202, 409, 0}},
    {"POST", "/v1/definitions/refresh", OPERATOR, http_definitions_refresh, HTTP_BODY_OPTIONAL,
     "", "", "Refresh", "Refreshed", "Have every host read definitions again", {200, 202, 0}},
    {"POST", "/v1/lock-context/evaluate", DESIGNER, http_evaluate, HTTP_BODY_JSON,
     "", "", "Evaluate", "Evaluated", "The lock paths that an activity would take for some inputs",
     {200, 404, 0}},
    {"GET", "/v1/locks", VIEWER, http_locks_list, HTTP_BODY_NONE,
     "after limit ", "", "", "Locks", "Who holds and who waits, over all hosts", {200, 0}},
    {"DELETE", "/v1/locks/{path*}", OPERATOR, http_locks_break, HTTP_BODY_NONE,
     "", "", "", "Broken", "Break a lock", {200, 404, 409, 0}},
    {"GET", "/v1/stream", VIEWER, http_stream, HTTP_BODY_NONE,
     "", "", "", "Stream", "Locks, instances and rates as server-sent events", {200, 0}},
    {"GET", "/v1/jobs", VIEWER, http_jobs_list, HTTP_BODY_NONE,
     "dead after limit ", "", "", "Jobs", "List background jobs, the oldest first", {200, 0}},
    {"GET", "/v1/openapi.json", VIEWER, http_openapi, HTTP_BODY_NONE,
     "", "", "", "OpenAPI", "This document", {200, 0}},
    {"GET", "/metrics", VIEWER, http_metrics, HTTP_BODY_NONE,
     "", "", "", "Metrics", "Figures for Prometheus", {200, 0}},
    {"GET", "/healthz", HTTP_ROLE_NONE, http_health_lives, HTTP_BODY_NONE,
     "", "", "", "Health", "Whether the host lives", {200, 0}},
    {"GET", "/readyz", HTTP_ROLE_NONE, http_health_ready, HTTP_BODY_NONE,
     "", "", "", "Health", "Whether the host can serve now", {200, 0}},
    {.method = NULL},
};
/* clang-format on */

const short http_route_any_statuses[] = {400, 401, 403, 408, 413, 414, 415, 417,
                                         421, 431, 500, 501, 503, 505, 0};

bool http_route_names(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; *at;) {
        size_t n = strcspn(at, " ");
        if (n == length && memcmp(at, name, n) == 0)
            return true;
        at += n + (at[n] == ' ');
    }
    return false;
}

bool http_route_may_answer(const struct http_route *route, int status)
{
    for (const short *own = route->statuses; *own; own++)
        if (*own == status)
            return true;
    for (const short *any = http_route_any_statuses; *any; any++)
        if (*any == status)
            return true;
    return false;
}

static int hex_digit(char c)
{
    if (isdigit((unsigned char)c))
        return c - '0';
    return isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

/* False for what is no UTF-8 once decoded, or has a zero byte; with *out NULL, without memory. */
static bool decode(const char *bytes, size_t n_bytes, char **out)
{
    char *text = malloc(n_bytes + 1);
    size_t n = 0;
    *out = text;
    if (!text)
        return false;
    for (size_t i = 0; i < n_bytes; i++) {
        char c = bytes[i];
        if (c == '%') {
            int high = i + 2 < n_bytes ? hex_digit(bytes[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(bytes[i + 2]) : -1;
            if (low < 0 || (high == 0 && low == 0))
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        text[n++] = c;
    }
    text[n] = '\0';
    return utf8_prefix(text, n, n) == n;
}

enum match {
    MATCH_NONE,
    MATCH_WHOLE,
    MATCH_UNREADABLE,
    MATCH_NO_MEMORY,
};

static void forget_params(struct http_exchange *exchange)
{
    for (int i = 0; i < HTTP_PARAMS_MAX; i++) {
        free(exchange->params[i]);
        exchange->params[i] = NULL;
    }
}

static enum match match(struct http_exchange *exchange, const char *pattern)
{
    const char *path = exchange->path;
    int n_params = 0;
    while (*pattern) {
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return MATCH_NONE;
            continue;
        }
        size_t n_name = strcspn(pattern, "}") + 1;
        size_t length = pattern[n_name - 2] == '*' ? strlen(path) : strcspn(path, "/");
        if (length == 0)
            return MATCH_NONE;
        if (!decode(path, length, &exchange->params[n_params]))
            return exchange->params[n_params] ? MATCH_UNREADABLE : MATCH_NO_MEMORY;
        n_params++;
        path += length;
        pattern += n_name;
    }
    return *path ? MATCH_NONE : MATCH_WHOLE;
}

/* HEAD asks what GET would answer, but of no stream. */
static bool is_method(const struct http_route *route, const char *method)
{
    bool streams = route->handle == http_stream;
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0 && !streams);
}

const struct http_route *http_route_find(struct http_exchange *exchange, int *status,
                                         struct text *allow)
{
    *status = 404;
    for (const struct http_route *route = http_routes; route->method; route++) {
        enum match matched = match(exchange, route->pattern);
        if (matched == MATCH_WHOLE && is_method(route, exchange->method))
            return route;
        forget_params(exchange);
        if (matched == MATCH_WHOLE) {
            *status = 405;
            text_addf(allow, "%s%s", allow->length ? ", " : "", route->method);
        } else if (matched != MATCH_NONE) {
            *status = matched == MATCH_UNREADABLE ? 400 : 503;
            return NULL;
        }
    }
    return NULL;
}
