/*
 * The HTTP API of a host, on evhttp behind http_guard.h: takes requests, finds their routes,
 * decides who may, and hands them to the handlers.
 *
 *   SERVING --drain--> DRAINING (listens no more; answers what is under way, then closes) --> freed
 */
#pragma once
#include "fault.h"
#include "http_access.h"
#include "uuid.h"

#include <stdint.h>

struct event_base;
struct http_exchange;
struct http_figures;
struct http_guard;
struct http_server;
struct http_stream;
struct log;
struct runtime;

enum {
    HTTP_HOSTS_MAX = 32,
    HTTP_CONNECTIONS_MAX = 100 * 1000,
};

struct http_options {
    char address[64]; /* numerical */
    int port;
    const char *tokens; /* file; NULL = loopback only, and everybody there may do everything */
    const char *hosts[HTTP_HOSTS_MAX + 1]; /* names that requests may be for; kept, ended by NULL */
    int n_hosts;
    int64_t request_us;  /* a request must have arrived by then, and an answer been taken */
    int64_t connections; /* in all */
    int64_t connections_per_peer; /* from one address */
};

/* 127.0.0.1:8080, no tokens, 10 s, 20,000 and 2,000. */
struct http_options http_default_options(void);

/* "ADDRESS:PORT", "[::1]:8080". FAULT_INVALID for anything else. */
MUST_CHECK bool http_options_listen(struct http_options *options, const char *text,
                                    struct fault *fault);

/* What the server belongs to; kept. */
struct http_home {
    struct event_base *base;
    struct runtime *runtime;
    const struct log *log;
    const char *schema;
    const char *directory; /* of definitions; NULL = none */
    const char *publisher; /* who publishes where there are no tokens */
};

/* Listens and serves. options is copied, its texts are kept. *out is yours to http_server_free. */
MUST_CHECK bool http_server_new(const struct http_home *home, const struct http_options *options,
                                struct http_server **out, struct fault *fault);
void http_server_drain(struct http_server *server);
bool http_server_is_busy(const struct http_server *server);

/* Requests without an answer get none. NULL is fine. */
void http_server_free(struct http_server *server);

int http_server_port(const struct http_server *server);

/* ---- for handlers ---- */

const struct http_home *http_server_home(const struct http_server *server);
struct runtime *http_server_runtime(const struct http_server *server);
const struct http_guard *http_server_guard(const struct http_server *server);
bool http_server_is_draining(const struct http_server *server);

/* The one poll behind all streams; NULL until there was a stream. */
struct http_stream **http_server_stream(struct http_server *server);

/* What the database knows, for /metrics. */
struct http_figures *http_server_figures(const struct http_server *server);

/* An id for a request that brought none. */
void http_server_draw_id(struct http_server *server, char out[UUID_TEXT_BYTES]);

/* Notes and logs an answer. */
void http_server_count(struct http_exchange *exchange, int status);

enum {
    HTTP_COUNTED_STATUSES = 600,
};

/* Answers by status, of a route of the table by its place. */
const int64_t *http_server_counts(const struct http_server *server, int route);

/* How late the loop's timers came, at most, within the last minute. */
int64_t http_server_lag_us(const struct http_server *server);
