/* Locks: who holds and waits; breaking one. */
#include "http_handlers.h"
#include "http_server.h"
#include "lock_break.h"
#include "runtime.h"
#include "runtime_sql.h"

#include <string.h>

/* One page: as many as the server's lock table may hold. */
void http_locks_list(struct http_exchange *exchange)
{
    http_reply_list(exchange, "locks", SQL_LOCK_LIST, 0, NULL);
}

static void abandon(struct http_exchange *exchange)
{
    lock_break_cancel(exchange->work);
    http_exchange_free(exchange);
}

static void on_broken(const char *met, const struct fault *fault, void *arg)
{
    struct http_exchange *exchange = arg;
    struct fault failed;
    json_t *rows = NULL;
    exchange->abandon = NULL;
    if (!met)
        http_reply_fault(exchange, fault);
    else if (json_read("the locks", met, strlen(met), &rows, &failed))
        http_reply_json(exchange, 200,
                        json_pack("{s:s, s:o}", "path", exchange->params[0], "met", rows));
    else
        http_reply_fault(exchange, &failed);
}

void http_locks_break(struct http_exchange *exchange)
{
    const struct http_home *home = http_server_home(exchange->server);
    const char *by = *exchange->who ? exchange->who : home->publisher;
    struct lock_break *request = NULL;
    struct fault fault;
    if (!lock_break_start(home->runtime, exchange->params[0], by, on_broken, exchange, &request,
                          &fault)) {
        http_reply_fault(exchange, &fault);
        return;
    }
    exchange->work = request;
    exchange->abandon = abandon;
}
