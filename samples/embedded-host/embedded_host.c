/*
 * A small web server of its own that has latchkey inside: each `POST /doors/N` runs the workflow
 * visit.yaml under the lock of that door, and the activity is the C function `admit` below.
 *
 *   embedded-host visit.yaml PORT      the database is LATCHKEY_DATABASE; port 0 = any
 *
 * One loop, one thread: the server goes on answering while a visitor waits for a lock.
 */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <latchkey.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    PATIENCE_MS = 10000,
};

struct server {
    struct event_base *base;
    struct evhttp *http;
    struct latchkey *host;
    int port;
    int exit_code;
};

/* A request that waits for its outcome. */
struct visit {
    struct evhttp_request *request; /* NULL: the client has gone */
};

static void complain(struct server *server, const struct latchkey_fault *fault)
{
    fprintf(stderr, "embedded-host: %s\n", fault->text);
    server->exit_code = 1;
    event_base_loopbreak(server->base);
}

/* ---- the activity ---- */

/* It runs when the lock is held and the row is loaded. What it sets is committed when it is done,
 * and only then the next one gets the lock. */
static void admit(struct latchkey_action *action, void *arg)
{
    struct latchkey_fault fault;
    int64_t visitors, capacity;
    char output[64];
    (void)arg;
    if (!latchkey_action_get_integer(action, "door", 0, "visitors", &visitors, &fault) ||
        !latchkey_action_get_integer(action, "door", 0, "capacity", &capacity, &fault)) {
        latchkey_action_fail(action, fault.text);
        return;
    }
    if (visitors >= capacity) {
        latchkey_action_fail(action, "the house is full");
        return;
    }
    snprintf(output, sizeof output, "{\"visitor\":%lld}", (long long)visitors + 1);
    if (latchkey_action_set_integer(action, "door", 0, "visitors", visitors + 1, &fault) &&
        latchkey_action_set_output(action, output, &fault))
        latchkey_action_done(action);
    else
        latchkey_action_fail(action, fault.text);
}

/* ---- requests ---- */

static void reply(struct evhttp_request *request, int code, const char *text)
{
    struct evbuffer *body = evbuffer_new();
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), NULL, NULL);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                      "application/json");
    if (body)
        evbuffer_add_printf(body, "%s\n", text);
    evhttp_send_reply(request, code, NULL, body);
    if (body)
        evbuffer_free(body);
}

static int code_of(enum latchkey_status status)
{
    switch (status) {
    case LATCHKEY_COMPLETED:
    case LATCHKEY_IDLE:
    case LATCHKEY_QUEUED: return 200;
    case LATCHKEY_LOCKED:
    case LATCHKEY_BLOCKED:
    case LATCHKEY_CONFLICT: return 409;
    case LATCHKEY_MISSING: return 404;
    case LATCHKEY_FAILED: return 422;
    case LATCHKEY_INVALID: return 400;
    case LATCHKEY_EXPIRED: return 504;
    case LATCHKEY_UNKNOWN: return 503;
    }
    return 500;
}

static void on_result(const struct latchkey_result *result, void *arg)
{
    struct visit *visit = arg;
    char *json = visit->request ? latchkey_result_json(result) : NULL;
    if (visit->request)
        reply(visit->request, code_of(result->status), json ? json : "null");
    free(json);
    free(visit);
}

static void on_client_gone(struct evhttp_connection *connection, void *arg)
{
    struct visit *visit = arg;
    (void)connection;
    visit->request = NULL;
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct server *server = arg;
    struct latchkey_fault fault;
    char input[64];
    int door, end = 0;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    if (evhttp_request_get_command(request) != EVHTTP_REQ_POST ||
        sscanf(path, "/doors/%9d%n", &door, &end) != 1 || path[end]) {
        reply(request, 404, "{\"reason\":\"POST /doors/N\"}");
        return;
    }
    struct visit *visit = calloc(1, sizeof *visit);
    if (!visit) {
        reply(request, 503, "{\"reason\":\"out of memory\"}");
        return;
    }
    visit->request = request;
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_client_gone, visit);
    snprintf(input, sizeof input, "{\"door\":%d}", door);
    if (!latchkey_submit(server->host, "visit", input, NULL, on_result, visit, &fault)) {
        reply(request, 503, "{\"reason\":\"the server stops\"}");
        free(visit);
    }
}

/* ---- life ---- */

static void on_stopped(struct latchkey *host, void *arg)
{
    struct server *server = arg;
    (void)host;
    event_base_loopbreak(server->base);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct server *server = arg;
    struct latchkey_fault fault;
    (void)number;
    (void)what;
    if (!latchkey_stop(server->host, PATIENCE_MS, on_stopped, server, &fault))
        event_base_loopbreak(server->base); /* the second signal */
}

static void on_published(const char *workflow, int version, bool changed,
                         const struct latchkey_fault *fault, void *arg)
{
    struct server *server = arg;
    (void)changed;
    if (fault) {
        complain(server, fault);
        return;
    }
    printf("%s, version %d, on port %d\n", workflow, version, server->port);
    fflush(stdout);
}

static void on_started(struct latchkey *host, const struct latchkey_fault *fault, void *arg)
{
    (void)host;
    if (fault)
        complain(arg, fault);
}

static bool listen_on(struct server *server, int port)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    struct evhttp_bound_socket *bound =
        evhttp_bind_socket_with_handle(server->http, "127.0.0.1", (ev_uint16_t)port);
    if (!bound ||
        getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &length) != 0)
        return false;
    server->port = ntohs(address.sin_port);
    evhttp_set_gencb(server->http, on_request, server);
    return true;
}

static bool host_up(struct server *server, const char *definition, struct latchkey_fault *fault)
{
    if (!latchkey_new(server->base, NULL, &server->host, fault))
        return false;
    latchkey_log_to(server->host, stderr, LATCHKEY_LOG_WARNING);
    return latchkey_register_action(server->host, "admit", admit, NULL, fault) &&
           latchkey_publish_file(server->host, definition, -1, on_published, server, fault) &&
           latchkey_start(server->host, on_started, server, fault);
}

int main(int argc, char **argv)
{
    struct server server = {.base = event_base_new()};
    struct latchkey_fault fault;
    if (argc != 3) {
        fputs("embedded-host visit.yaml PORT\n", stderr);
        return 2;
    }
    server.http = evhttp_new(server.base);
    if (!server.http || !listen_on(&server, atoi(argv[2]))) {
        fputs("embedded-host: cannot listen there\n", stderr);
        return 1;
    }
    struct event *terminated = evsignal_new(server.base, SIGTERM, on_signal, &server);
    struct event *interrupted = evsignal_new(server.base, SIGINT, on_signal, &server);
    evsignal_add(terminated, NULL);
    evsignal_add(interrupted, NULL);
    if (host_up(&server, argv[1], &fault))
        event_base_dispatch(server.base);
    else
        complain(&server, &fault);
    latchkey_free(server.host); /* tells those who still wait, so before the server goes */
    evhttp_free(server.http);
    event_free(terminated);
    event_free(interrupted);
    event_base_free(server.base);
    return server.exit_code;
}
