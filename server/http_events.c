/* Events that start workflows. */
#include "http_handlers.h"
#include "http_server.h"
#include "runtime.h"

static void on_emitted(const json_t *started, const struct fault *fault, void *arg)
{
    struct http_exchange *exchange = arg;
    if (!started)
        http_reply_fault(exchange, fault);
    else if (json_array_size(started) == 0)
        http_reply_error(exchange, 404, "no published workflow has a trigger for this event");
    else
        http_reply_json(exchange, 202, json_pack("{s:O}", "started", started));
}

void http_events_emit(struct http_exchange *exchange)
{
    static const struct http_field fields[] = {{"payload", JSON_OBJECT, false}, {0}};
    struct fault fault;
    if (!http_body(exchange, fields))
        return;
    json_t *payload = json_incref(json_object_get(exchange->body, "payload"));
    if (!payload)
        payload = json_object();
    bool ok = payload ? runtime_emit(http_server_runtime(exchange->server), exchange->params[0],
                                     payload, on_emitted, exchange, &fault)
                      : fault_no_memory(&fault);
    json_decref(payload);
    if (!ok)
        http_reply_fault(exchange, &fault);
}
