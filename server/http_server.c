#include "http_server.h"

#include "clock.h"
#include "http_figures.h"
#include "http_guard.h"
#include "http_head.h"
#include "http_log.h"
#include "http_route.h"
#include "http_stream.h"
#include "runtime.h"
#include "text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    IDLE_SECONDS = 75,
    ALLOW_BYTES_MAX = 256,
    LAG_EVERY_US = 100 * 1000,
    LAG_WINDOW = 600, /* looks: a minute */
    ROUTES_MAX = 40,
};

struct http_server {
    struct http_home home;
    struct http_options options;
    struct http_access *access; /* NULL = none is needed */
    struct evhttp *http;
    struct http_guard *guard;
    struct http_stream *stream;
    struct http_figures *figures;
    struct event *lag_timer;
    int64_t lag_at_us;
    int64_t lags_us[LAG_WINDOW];
    int lag_next;
    int port;
    bool draining;
    char own_host[80]; /* the address as it stands in Host */
    const char *hosts[HTTP_HOSTS_MAX + 2];
    struct uuid_source uuids;
    int64_t counts[ROUTES_MAX][HTTP_COUNTED_STATUSES];
    LIST_HEAD(, http_exchange) exchanges;
};

/* ---- options ---- */

struct http_options http_default_options(void)
{
    return (struct http_options){
        .address = "127.0.0.1",
        .port = 8080,
        .request_us = 10 * 1000 * 1000,
        .connections = 20 * 1000,
        .connections_per_peer = 2000,
    };
}

bool http_options_listen(struct http_options *options, const char *text, struct fault *fault)
{
    struct in6_addr parsed;
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    bool is_six = length > 2 && *text == '[' && text[length - 1] == ']';
    char *end = NULL;
    if (length > 0 && length < sizeof options->address) {
        snprintf(options->address, sizeof options->address, "%.*s", (int)length - (is_six ? 2 : 0),
                 text + (is_six ? 1 : 0));
        long port = strtol(colon + 1, &end, 10);
        options->port = (int)port;
        if (isdigit((unsigned char)colon[1]) && !*end && port >= 0 && port <= 65535 &&
            inet_pton(is_six ? AF_INET6 : AF_INET, options->address, &parsed) == 1)
            return true;
    }
    return fault_set(fault, FAULT_INVALID,
                     "--listen wants an address and a port as numbers, 127.0.0.1:8080 or "
                     "[::1]:8080, or none; not '%.60s'",
                     text);
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

static bool is_any(const char *address)
{
    return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

/* ---- what handlers ask ---- */

const struct http_home *http_server_home(const struct http_server *server)
{
    return &server->home;
}

struct runtime *http_server_runtime(const struct http_server *server)
{
    return server->home.runtime;
}

const struct http_guard *http_server_guard(const struct http_server *server)
{
    return server->guard;
}

bool http_server_is_draining(const struct http_server *server)
{
    return server->draining;
}

struct http_stream **http_server_stream(struct http_server *server)
{
    return &server->stream;
}

struct http_figures *http_server_figures(const struct http_server *server)
{
    return server->figures;
}

int http_server_port(const struct http_server *server)
{
    return server->port;
}

const int64_t *http_server_counts(const struct http_server *server, int route)
{
    return server->counts[route];
}

int64_t http_server_lag_us(const struct http_server *server)
{
    int64_t most_us = 0;
    for (int i = 0; i < LAG_WINDOW; i++)
        most_us = server->lags_us[i] > most_us ? server->lags_us[i] : most_us;
    return most_us;
}

void http_server_count(struct http_exchange *exchange, int status)
{
    struct http_server *server = exchange->server;
    long at = exchange->route ? exchange->route - http_routes : ROUTES_MAX - 1;
    if (status >= 0 && status < HTTP_COUNTED_STATUSES)
        server->counts[at][status]++;
    http_log_answer(exchange, server->home.log, status);
}

void http_server_draw_id(struct http_server *server, char out[UUID_TEXT_BYTES])
{
    uuid_draw(&server->uuids, out);
}

/* ---- a request ---- */

/* False: it has been replied to. */
static bool read_target(struct http_exchange *exchange)
{
    const char *uri = evhttp_request_get_uri(exchange->request);
    size_t n_path = strcspn(uri, "?");
    exchange->path = strndup(uri, n_path);
    exchange->query = calloc(1, sizeof *exchange->query);
    if (!exchange->path || !exchange->query) {
        free(exchange->query);
        exchange->query = NULL;
        http_reply_json(exchange, 503, NULL);
        return false;
    }
    TAILQ_INIT(exchange->query);
    if (!uri[n_path] || !uri[n_path + 1] ||
        evhttp_parse_query_str(uri + n_path + 1, exchange->query) == 0)
        return true;
    http_reply_error(exchange, 400, "the query cannot be read");
    return false;
}

static bool find_route(struct http_exchange *exchange)
{
    struct text allow;
    int status;
    text_init(&allow, ALLOW_BYTES_MAX);
    exchange->route = http_route_find(exchange, &status, &allow);
    bool found = exchange->route != NULL;
    if (!found) {
        if (status == 405)
            http_add_header(exchange, "Allow", text_chars(&allow));
        http_reply_error(exchange, status, "%s",
                         status == 405   ? "this path has no such method"
                         : status == 404 ? "there is nothing here"
                                         : "the path cannot be decoded");
    }
    text_done(&allow);
    return found;
}

static const char *bearer(const struct http_exchange *exchange)
{
    const char *text = http_header(exchange, "Authorization");
    if (!text || strncasecmp(text, "Bearer ", 7) != 0)
        return NULL;
    return text + 7 + strspn(text + 7, " ");
}

static bool may(struct http_exchange *exchange)
{
    struct http_server *server = exchange->server;
    const char *token = bearer(exchange), *name = NULL;
    enum http_role role = HTTP_ROLE_ADMIN;
    if (server->access)
        role = token ? http_access_role(server->access, token, &name) : HTTP_ROLE_NONE;
    if (name)
        snprintf(exchange->who, sizeof exchange->who, "%s", name);
    if (role >= exchange->route->role)
        return true;
    if (role == HTTP_ROLE_NONE) {
        http_add_header(exchange, "WWW-Authenticate", "Bearer");
        http_reply_error(exchange, 401, "%s",
                         token ? "the token is not known here"
                               : "a token is wanted: Authorization: Bearer TOKEN");
    } else {
        http_reply_error(exchange, 403, "this wants the role %s, and the token's is %s",
                         http_role_name(exchange->route->role), http_role_name(role));
    }
    return false;
}

static bool check_query(struct http_exchange *exchange)
{
    const struct evkeyval *parameter;
    TAILQ_FOREACH(parameter, exchange->query, next)
    {
        if (!http_route_names(exchange->route->query, parameter->key)) {
            http_reply_error(exchange, 400, "there is no parameter '%.60s'", parameter->key);
            return false;
        }
    }
    return true;
}

/* A form of a stranger's page can send other types without being asked, but not JSON. */
static bool is_type(const char *type, const char *wanted)
{
    size_t length = strlen(wanted);
    return type && strncasecmp(type, wanted, length) == 0 &&
           (!type[length] || type[length] == ';' || type[length] == ' ');
}

static bool check_body(struct http_exchange *exchange)
{
    const char *type = http_header(exchange, "Content-Type");
    size_t n_bytes;
    http_body_bytes(exchange, &n_bytes);
    bool is_json = is_type(type, "application/json");
    bool is_yaml = is_type(type, "application/yaml") || is_type(type, "application/x-yaml") ||
                   is_type(type, "text/yaml");
    switch (exchange->route->body) {
    case HTTP_BODY_NONE: return true;
    case HTTP_BODY_OPTIONAL:
        if (n_bytes == 0 || is_json)
            return true;
        http_reply_error(exchange, 415, "the body wants Content-Type: application/json");
        return false;
    case HTTP_BODY_JSON:
        if (is_json)
            return true;
        http_reply_error(exchange, 415, "the body wants Content-Type: application/json");
        return false;
    case HTTP_BODY_DEFINITION:
        if (is_json || is_yaml)
            return true;
        http_reply_error(exchange, 415,
                         "the body wants Content-Type: application/yaml or application/json");
        return false;
    }
    return false;
}

static void on_closed(void *arg)
{
    http_exchange_lose_client(arg);
}

static const char *method_name(enum evhttp_cmd_type type)
{
    switch (type) {
    case EVHTTP_REQ_GET: return "GET";
    case EVHTTP_REQ_POST: return "POST";
    case EVHTTP_REQ_HEAD: return "HEAD";
    case EVHTTP_REQ_PUT: return "PUT";
    case EVHTTP_REQ_DELETE: return "DELETE";
    case EVHTTP_REQ_OPTIONS: return "OPTIONS";
    case EVHTTP_REQ_TRACE: return "TRACE";
    case EVHTTP_REQ_CONNECT: return "CONNECT";
    case EVHTTP_REQ_PATCH: return "PATCH";
    }
    return "";
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct http_server *server = arg;
    struct http_conn *conn = http_guard_take(server->guard, request);
    struct http_exchange *exchange = conn ? calloc(1, sizeof *exchange) : NULL;
    if (!exchange) {
        evhttp_send_error(request, 503, NULL);
        return;
    }
    exchange->server = server;
    exchange->request = request;
    exchange->conn = conn;
    snprintf(exchange->peer, sizeof exchange->peer, "%s", http_guard_peer(conn));
    exchange->started_us = clock_monotonic_us();
    exchange->method = method_name(evhttp_request_get_command(request));
    LIST_INSERT_HEAD(&server->exchanges, exchange, link);
    http_guard_on_close(conn, on_closed, exchange);
    http_log_name(exchange);
    if (read_target(exchange) && find_route(exchange) && may(exchange) && check_query(exchange) &&
        check_body(exchange))
        exchange->route->handle(exchange);
}

/* ---- the loop's lag ---- */

static void on_lag(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *server = arg;
    int64_t now_us = clock_monotonic_us(), late_us = now_us - server->lag_at_us - LAG_EVERY_US;
    struct timeval pause = clock_timeval_us(LAG_EVERY_US);
    (void)fd;
    (void)what;
    server->lags_us[server->lag_next++ % LAG_WINDOW] = late_us > 0 ? late_us : 0;
    server->lag_at_us = now_us;
    event_add(server->lag_timer, &pause);
}

/* ---- life ---- */

static bool open_access(struct http_server *server, struct fault *fault)
{
    const struct http_options *options = &server->options;
    if (options->tokens)
        return http_access_read(options->tokens, &server->access, fault);
    if (is_loopback(options->address))
        return true;
    return fault_set(fault, FAULT_INVALID,
                     "--listen %s can be reached from other machines: it wants --tokens FILE",
                     options->address);
}

static void list_hosts(struct http_server *server)
{
    const struct http_options *options = &server->options;
    int n = 0;
    if (strchr(options->address, ':'))
        snprintf(server->own_host, sizeof server->own_host, "[%s]", options->address);
    else
        snprintf(server->own_host, sizeof server->own_host, "%s", options->address);
    server->hosts[n++] = server->own_host;
    for (int i = 0; i < options->n_hosts; i++)
        server->hosts[n++] = options->hosts[i];
    server->hosts[n] = NULL;
}

static bool open_http(struct http_server *server, struct fault *fault)
{
    const struct http_options *options = &server->options;
    struct timeval pause = clock_timeval_us(LAG_EVERY_US);
    list_hosts(server);
    struct http_guard_options guard = {
        .connections_max = (int)options->connections,
        .connections_per_peer_max = (int)options->connections_per_peer,
        .request_us = options->request_us,
        .hosts = server->hosts,
        .any_address = is_any(options->address),
    };
    server->http = evhttp_new(server->home.base);
    server->lag_timer = event_new(server->home.base, -1, 0, on_lag, server);
    if (!server->http || !server->lag_timer)
        return fault_no_memory(fault);
    evhttp_set_timeout(server->http, IDLE_SECONDS);
    /* behind the guard's own limits, which know what to answer */
    evhttp_set_max_headers_size(server->http, 4 * HTTP_HEAD_BYTES_MAX);
    evhttp_set_max_body_size(server->http, HTTP_BODY_BYTES_MAX);
    evhttp_set_allowed_methods(server->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                                 EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                                 EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
                                                 EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    evhttp_set_gencb(server->http, on_request, server);
    server->lag_at_us = clock_monotonic_us();
    event_add(server->lag_timer, &pause);
    return http_guard_new(server->home.base, server->http, &guard, &server->guard, fault) &&
           http_guard_listen(server->guard, options->address, options->port, &server->port, fault);
}

bool http_server_new(const struct http_home *home, const struct http_options *options,
                     struct http_server **out, struct fault *fault)
{
    struct http_server *server = calloc(1, sizeof *server);
    if (!server)
        return fault_no_memory(fault);
    server->home = *home;
    server->options = *options;
    LIST_INIT(&server->exchanges);
    if (!open_access(server, fault) ||
        !http_figures_new(home->base, home->runtime, &server->figures, fault) ||
        !open_http(server, fault)) {
        http_server_free(server);
        return false;
    }
    *out = server;
    return true;
}

void http_server_drain(struct http_server *server)
{
    server->draining = true;
    http_guard_stop_listening(server->guard);
    http_stream_end_all(server->stream);
}

bool http_server_is_busy(const struct http_server *server)
{
    return http_guard_n_busy(server->guard) > 0;
}

void http_server_free(struct http_server *server)
{
    struct http_exchange *exchange;
    if (!server)
        return;
    http_stream_free(server->stream);
    if (server->http)
        evhttp_free(server->http); /* tells every exchange that its client is gone */
    http_guard_free(server->guard);
    http_figures_free(server->figures);
    if (server->lag_timer)
        event_free(server->lag_timer);
    /* those that the runtime has yet to answer are freed then, off the list */
    while ((exchange = LIST_FIRST(&server->exchanges))) {
        LIST_REMOVE(exchange, link);
        exchange->link.le_prev = NULL;
        if (exchange->abandon)
            exchange->abandon(exchange);
    }
    http_access_free(server->access);
    free(server);
}
