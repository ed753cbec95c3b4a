#include "http_stream.h"

#include "clock.h"
#include "http_guard.h"
#include "http_handlers.h"
#include "http_route.h"
#include "http_server.h"
#include "runtime.h"
#include "server_sql.h"
#include "text.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_EVERY_US = 1000 * 1000,
    KEEP_EVERY = 15, /* looks without news */
    BEHIND_BYTES_MAX = 1 << 20,
    CLIENTS_MAX = 1000,
    EVENT_BYTES_MAX = 16 << 20,
};

struct client {
    struct http_exchange *exchange;
    struct http_stream *stream;
    LIST_ENTRY(client) link;
};

struct http_stream {
    struct http_server *server;
    struct event *timer;
    bool looking;
    bool freed; /* but for the answer that is to come */
    int n_clients;
    int n_quiet; /* looks since something was sent */
    char *locks; /* as last sent, as text; NULL = never */
    char *instances;
    int64_t ended[STATUS_COUNT];
    int64_t ended_us;
    LIST_HEAD(, client) clients;
};

/* ---- clients ---- */

static void drop_client(struct http_exchange *exchange)
{
    struct client *client = exchange->work;
    LIST_REMOVE(client, link);
    client->stream->n_clients--;
    free(client);
}

static void on_closed(void *arg)
{
    http_exchange_lose_client(arg);
    http_exchange_free(arg);
}

static void send_text(struct client *client, const char *text, size_t length)
{
    struct evhttp_request *request = client->exchange->request;
    struct bufferevent *bufferevent =
        evhttp_connection_get_bufferevent(evhttp_request_get_connection(request));
    struct evbuffer *chunk = evbuffer_new();
    if (evbuffer_get_length(bufferevent_get_output(bufferevent)) > BEHIND_BYTES_MAX || !chunk ||
        evbuffer_add(chunk, text, length) != 0)
        http_guard_drop(client->exchange->conn);
    else
        evhttp_send_reply_chunk(request, chunk);
    if (chunk)
        evbuffer_free(chunk);
}

static void send_event(struct client *client, const char *name, const char *data)
{
    struct text event;
    struct fault ignored;
    text_init(&event, EVENT_BYTES_MAX);
    text_addf(&event, "event: %s\ndata: ", name);
    for (const char *c = data; *c; c++) /* a line end would end the data */
        text_add_char(&event, *c == '\n' || *c == '\r' ? ' ' : *c);
    text_add_chars(&event, "\n\n");
    if (text_ok(&event, &ignored))
        send_text(client, text_chars(&event), event.length);
    text_done(&event);
}

static void send_to_all(struct http_stream *stream, const char *name, const char *data)
{
    struct client *client;
    stream->n_quiet = 0;
    LIST_FOREACH(client, &stream->clients, link)
    {
        send_event(client, name, data);
    }
}

/* ---- looking ---- */

/* Executions of this host that ended, by status, a second. */
static void send_rates(struct http_stream *stream)
{
    struct runtime_figures figures;
    const int64_t *ended = figures.ended;
    int64_t now_us = clock_monotonic_us();
    double seconds = (double)(now_us - stream->ended_us) / 1e6;
    json_t *rates = json_object();
    bool any = false;
    runtime_read_figures(http_server_runtime(stream->server), &figures);
    for (int i = 0; i < STATUS_COUNT; i++) {
        int64_t n = ended[i] - stream->ended[i];
        any = any || n != 0;
        if (seconds > 0)
            json_object_set_new(rates, execution_status_row((enum execution_status)i)->name,
                                json_real((double)n / seconds));
        stream->ended[i] = ended[i];
    }
    stream->ended_us = now_us;
    char *text = any && rates ? json_write(rates) : NULL;
    if (text)
        send_to_all(stream, "rates", text);
    free(text);
    json_decref(rates);
}

static void begin_rates(struct http_stream *stream)
{
    struct runtime_figures figures;
    runtime_read_figures(http_server_runtime(stream->server), &figures);
    memcpy(stream->ended, figures.ended, sizeof stream->ended);
    stream->ended_us = clock_monotonic_us();
}

static void send_if_new(struct http_stream *stream, const char *name, char **last, const char *text)
{
    if (*last && strcmp(*last, text) == 0)
        return;
    free(*last);
    *last = strdup(text);
    send_to_all(stream, name, text);
}

static void rest(struct http_stream *stream)
{
    struct timeval pause = clock_timeval_us(LOOK_EVERY_US);
    if (!LIST_EMPTY(&stream->clients))
        event_add(stream->timer, &pause);
}

static void keep(struct http_stream *stream)
{
    struct client *client;
    if (++stream->n_quiet < KEEP_EVERY)
        return;
    stream->n_quiet = 0;
    LIST_FOREACH(client, &stream->clients, link)
    {
        send_text(client, ": still here\n\n", 14);
    }
}

static void on_looked(const struct pg_result *rows, const struct fault *fault, void *arg)
{
    struct http_stream *stream = arg;
    stream->looking = false;
    if (stream->freed) {
        free(stream);
        return;
    }
    if (rows) {
        send_if_new(stream, "locks", &stream->locks, PQgetvalue(rows, 0, 0));
        send_if_new(stream, "instances", &stream->instances, PQgetvalue(rows, 0, 1));
        send_rates(stream);
    } else {
        json_t *problem = http_problem_new(503, NULL, fault->text);
        char *text = problem ? json_write(problem) : NULL;
        if (text)
            send_to_all(stream, "trouble", text);
        free(text);
        json_decref(problem);
    }
    keep(stream);
    rest(stream);
}

static void look(struct http_stream *stream)
{
    struct fault fault;
    if (stream->looking)
        return;
    stream->looking = true;
    if (!runtime_inquire(http_server_runtime(stream->server), SQL_STREAM_LOOK, 0, NULL, on_looked,
                         stream, &fault)) {
        stream->looking = false;
        rest(stream);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct http_stream *stream = arg;
    (void)fd;
    (void)what;
    if (!LIST_EMPTY(&stream->clients))
        look(stream);
}

/* ---- life ---- */

static struct http_stream *new_stream(struct http_server *server)
{
    struct http_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return NULL;
    stream->server = server;
    LIST_INIT(&stream->clients);
    stream->timer = event_new(http_server_home(server)->base, -1, 0, on_timer, stream);
    if (!stream->timer) {
        free(stream);
        return NULL;
    }
    return stream;
}

void http_stream(struct http_exchange *exchange)
{
    struct http_stream **stream = http_server_stream(exchange->server);
    if (!*stream)
        *stream = new_stream(exchange->server);
    if (!*stream || (*stream)->n_clients == CLIENTS_MAX) {
        http_reply_error(exchange, 503, "too many streams");
        return;
    }
    struct client *client = calloc(1, sizeof *client);
    if (!client) {
        http_reply_json(exchange, 503, NULL);
        return;
    }
    client->exchange = exchange;
    client->stream = *stream;
    exchange->work = client;
    exchange->drop = drop_client;
    LIST_INSERT_HEAD(&(*stream)->clients, client, link);
    (*stream)->n_clients++;
    http_exchange_streams(exchange);
    http_guard_streams(exchange->conn);
    http_guard_on_close(exchange->conn, on_closed, exchange);
    evhttp_send_reply_start(exchange->request, 200, "OK");
    if ((*stream)->locks)
        send_event(client, "locks", (*stream)->locks);
    if ((*stream)->instances)
        send_event(client, "instances", (*stream)->instances);
    if ((*stream)->n_clients == 1)
        begin_rates(*stream);
    look(*stream);
}

void http_stream_end_all(struct http_stream *stream)
{
    struct client *client;
    while (stream && (client = LIST_FIRST(&stream->clients))) {
        struct http_exchange *exchange = client->exchange;
        struct evhttp_request *request = exchange->request;
        http_guard_writes(exchange->conn);
        http_exchange_free(exchange);
        evhttp_send_reply_end(request);
    }
}

void http_stream_free(struct http_stream *stream)
{
    if (!stream)
        return;
    while (!LIST_EMPTY(&stream->clients))
        http_exchange_free(LIST_FIRST(&stream->clients)->exchange);
    event_free(stream->timer);
    free(stream->locks);
    free(stream->instances);
    stream->freed = true;
    if (!stream->looking)
        free(stream);
}

int http_stream_n_clients(const struct http_stream *stream)
{
    return stream ? stream->n_clients : 0;
}
