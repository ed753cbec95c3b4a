/*
 * What stands between the network and evhttp, which sets no limits by itself: caps on connections,
 * one deadline for a whole request however slowly it drips, strict heads (http_head.h), which host
 * a request is for and which page it comes from, and a pause when file descriptors run out.
 *
 *   IDLE --first byte--> READING --whole--> WORKING --answered--> WRITING --flushed--> IDLE
 *     ^                     \__refused: answered and closed          \__too slow: closed |
 *     \__________________________________________________________________________________/
 */
#pragma once
#include "fault.h"

#include <stdint.h>

struct event_base;
struct evhttp;
struct evhttp_request;
struct http_conn;
struct http_guard;

struct http_guard_options {
    int connections_max;
    int connections_per_peer_max;
    int64_t request_us;       /* from its first byte to its last; the same for taking an answer */
    const char *const *hosts; /* names that a request may be for, beside the loopback ones; kept,
                                 ended by NULL */
    bool any_address;         /* so are all addresses written as numbers */
};

/* Guards the connections that http will take. *out is yours to http_guard_free, after http. */
MUST_CHECK bool http_guard_new(struct event_base *base, struct evhttp *http,
                               const struct http_guard_options *options, struct http_guard **out,
                               struct fault *fault);
void http_guard_free(struct http_guard *guard);

/* Listens on an address, numerical, for http. port 0 = any; *port_out is the one it is. */
MUST_CHECK bool http_guard_listen(struct http_guard *guard, const char *address, int port,
                                  int *port_out, struct fault *fault);
void http_guard_stop_listening(struct http_guard *guard);

/* The connection of a request that evhttp hands over; NULL if it was refused: then it wants any
 * answer, which nobody gets. From here on it is WORKING. */
struct http_conn *http_guard_take(struct http_guard *guard, struct evhttp_request *request);

/* The address at its other end. Borrowed. */
const char *http_guard_peer(const struct http_conn *conn);

/* The answer is handed to evhttp and on its way. */
void http_guard_writes(struct http_conn *conn);

/* The answer is one without an end: neither busy nor under a deadline. */
void http_guard_streams(struct http_conn *conn);

/* Told once when the connection ends, whatever ends it; NULL = nobody. */
typedef void http_guard_closed_fn(void *arg);
void http_guard_on_close(struct http_conn *conn, http_guard_closed_fn *closed, void *arg);

/* Ends a connection soon. */
void http_guard_drop(struct http_conn *conn);

int http_guard_n_connections(const struct http_guard *guard);
int http_guard_n_busy(const struct http_guard *guard); /* WORKING or WRITING */
int64_t http_guard_n_refused(const struct http_guard *guard);
