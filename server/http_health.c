/* Signs of life. */
#include "http_handlers.h"
#include "http_server.h"
#include "runtime.h"

void http_health_lives(struct http_exchange *exchange)
{
    http_reply_json(exchange, 200, json_pack("{s:s}", "status", "ok"));
}

static void on_asked(const struct pg_result *rows, const struct fault *fault, void *arg)
{
    struct http_exchange *exchange = arg;
    if (rows)
        http_health_lives(exchange);
    else
        http_reply_fault(exchange, fault);
}

void http_health_ready(struct http_exchange *exchange)
{
    struct fault fault;
    if (http_server_is_draining(exchange->server))
        http_reply_error(exchange, 503, "the host is stopping");
    else if (!runtime_inquire(http_server_runtime(exchange->server), "SELECT 1", 0, NULL, on_asked,
                              exchange, &fault))
        http_reply_fault(exchange, &fault);
}
