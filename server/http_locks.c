/* Locks: who holds and waits; breaking one. */
#include "http_handlers.h"
#include "http_server.h"
#include "lock_break.h"
#include "runtime.h"
#include "server_sql.h"
#include "utf8.h"

#include <stdio.h>
#include <string.h>

enum {
    PLACE_CHARS = 2 + 17 + 1 + 12, /* as lock_page.sql makes it: 0e1234...-123456789abc */
};

/* The id of a row: its place among those of its path, and the path. */
static bool is_id(const char *id)
{
    static const char hex[] = "0123456789abcdef";
    return strlen(id) > PLACE_CHARS + 1 && (id[0] == '0' || id[0] == '1') &&
           (id[1] == 'e' || id[1] == 's') && strspn(id + 2, "0123456789") == 17 && id[19] == '-' &&
           strspn(id + 20, hex) == 12 && id[PLACE_CHARS] == '-' &&
           utf8_prefix(id, strlen(id), strlen(id)) == strlen(id);
}

void http_locks_list(struct http_exchange *exchange)
{
    char limit[24], place[PLACE_CHARS + 1] = "";
    const char *after = http_query(exchange, "after");
    if (!http_query_limit(exchange))
        return;
    if (after && !is_id(after)) {
        http_reply_error(exchange, 400, "the parameter 'after' wants the id of a row");
        return;
    }
    snprintf(limit, sizeof limit, "%lld", (long long)exchange->limit);
    if (after)
        memcpy(place, after, PLACE_CHARS);
    const char *params[] = {after ? place : NULL, after ? after + PLACE_CHARS + 1 : NULL, limit};
    http_reply_list(exchange, "locks", SQL_LOCK_PAGE, 3, params);
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
