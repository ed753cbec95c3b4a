/* Reloading and refreshing definitions. */
#include "http_handlers.h"
#include "http_server.h"
#include "runtime.h"

#include <stdlib.h>
#include <string.h>

static void on_report(const json_t *report, const struct fault *fault, void *arg)
{
    struct http_exchange *exchange = arg;
    const char *status = json_string_value(json_object_get(report, "status"));
    if (!report)
        http_reply_fault(exchange, fault);
    else
        http_reply_json(exchange, status && strcmp(status, "already-in-progress") == 0 ? 202 : 200,
                        json_incref((json_t *)report));
}

void http_definitions_reload(struct http_exchange *exchange)
{
    static const struct http_field fields[] = {{0}};
    const struct http_home *home = http_server_home(exchange->server);
    const char *by = *exchange->who ? exchange->who : home->publisher;
    struct fault fault;
    if (!http_body(exchange, fields))
        return;
    if (!home->directory)
        http_reply_error(exchange, 409, "this host has no definitions directory");
    else if (!runtime_reload(home->runtime, home->directory, by, on_report, exchange, &fault))
        http_reply_fault(exchange, &fault);
}

static void refresh(struct http_exchange *exchange, const json_t *list)
{
    struct fault fault;
    size_t n = json_array_size(list), i;
    json_t *id;
    const char **ids = calloc(n + 1, sizeof *ids);
    if (!ids) {
        http_reply_json(exchange, 503, NULL);
        return;
    }
    json_array_foreach(list, i, id)
    {
        ids[i] = json_string_value(id);
        if (!ids[i]) {
            free(ids);
            http_reply_bad(exchange, "/ids", "ids are names of workflows");
            return;
        }
    }
    if (!runtime_refresh(http_server_runtime(exchange->server), ids, (int)n, on_report, exchange,
                         &fault))
        http_reply_fault(exchange, &fault);
    free(ids);
}

void http_definitions_refresh(struct http_exchange *exchange)
{
    static const struct http_field fields[] = {{"ids", JSON_ARRAY, false}, {0}};
    if (http_body(exchange, fields))
        refresh(exchange, json_object_get(exchange->body, "ids"));
}
