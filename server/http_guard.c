#include "http_guard.h"

#include "clock.h"
#include "http_chunks.h"
#include "http_head.h"
#include "http_problem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>

enum {
    BUCKETS = 4096, /* a power of two */
    BACKLOG = 1024,
    PAUSE_US = 100 * 1000, /* without file descriptors */
    ANSWER_BYTES = 1024,
    PEER_BYTES = 46,
};

enum conn_phase {
    CONN_NEW, /* not looked at yet */
    CONN_IDLE,
    CONN_READING,
    CONN_WORKING,
    CONN_STREAMING, /* an answer without an end */
    CONN_WRITING,
};

/* How many connections an address has. */
struct peer {
    char address[PEER_BYTES];
    int n;
    LIST_ENTRY(peer) link;
};

struct http_conn {
    struct http_guard *guard;
    struct bufferevent *bufferevent;
    struct evhttp_connection *connection;
    struct peer *peer; /* NULL = over a cap */
    enum conn_phase phase;
    bool refused;
    struct event timer; /* NEW: to be looked at; READING, WRITING: the deadline */
    struct http_head head;
    size_t length;             /* READING the head: of the input when it was last looked at, */
    size_t scanned;            /* and how much of it is whole lines, which evhttp takes away */
    struct http_chunks chunks; /* READING a chunked body */
    http_guard_closed_fn *closed;
    void *closed_arg;
    LIST_ENTRY(http_conn) link;
};

LIST_HEAD(conns, http_conn);
LIST_HEAD(peers, peer);

struct http_guard {
    struct event_base *base;
    struct evhttp *http;
    struct http_guard_options options;
    struct evhttp_bound_socket *bound;
    struct evconnlistener *listener;
    struct event *resume; /* accepts again, from time to time */
    int n_connections;
    int n_busy;
    int64_t n_refused;
    struct conns conns[BUCKETS]; /* by the address of evhttp's connection */
    struct peers peers[BUCKETS]; /* by address */
    char line[HTTP_HEAD_BYTES_MAX + 1];
};

/* ---- peers ---- */

static unsigned hash_bytes(const void *bytes, size_t n_bytes)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n_bytes; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    return (unsigned)(hash >> 20) & (BUCKETS - 1);
}

static struct peer *find_peer(struct http_guard *guard, const char *address)
{
    struct peers *bucket = &guard->peers[hash_bytes(address, strlen(address))];
    struct peer *peer;
    LIST_FOREACH(peer, bucket, link)
    {
        if (strcmp(peer->address, address) == 0)
            return peer;
    }
    peer = calloc(1, sizeof *peer);
    if (!peer)
        return NULL;
    snprintf(peer->address, sizeof peer->address, "%s", address);
    LIST_INSERT_HEAD(bucket, peer, link);
    return peer;
}

static void leave_peer(struct http_conn *conn)
{
    struct peer *peer = conn->peer;
    if (!peer)
        return;
    conn->guard->n_connections--;
    if (--peer->n == 0) {
        LIST_REMOVE(peer, link);
        free(peer);
    }
}

static void name_peer(evutil_socket_t fd, char out[PEER_BYTES])
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    const void *bytes = NULL;
    snprintf(out, PEER_BYTES, "?");
    if (getpeername(fd, (struct sockaddr *)&address, &length) != 0)
        return;
    if (address.ss_family == AF_INET)
        bytes = &((struct sockaddr_in *)&address)->sin_addr;
    else if (address.ss_family == AF_INET6)
        bytes = &((struct sockaddr_in6 *)&address)->sin6_addr;
    if (bytes)
        inet_ntop(address.ss_family, bytes, out, PEER_BYTES);
}

/* False over a cap. */
static bool join_peer(struct http_conn *conn)
{
    struct http_guard *guard = conn->guard;
    char address[PEER_BYTES];
    if (guard->n_connections >= guard->options.connections_max)
        return false;
    name_peer(bufferevent_getfd(conn->bufferevent), address);
    struct peer *peer = find_peer(guard, address);
    if (!peer || peer->n >= guard->options.connections_per_peer_max)
        return false;
    peer->n++;
    guard->n_connections++;
    conn->peer = peer;
    return true;
}

/* ---- phases ---- */

static bool is_busy(enum conn_phase phase)
{
    return phase == CONN_WORKING || phase == CONN_WRITING;
}

static void enter(struct http_conn *conn, enum conn_phase phase)
{
    struct timeval deadline = clock_timeval_us(conn->guard->options.request_us);
    conn->guard->n_busy += is_busy(phase) - is_busy(conn->phase);
    conn->phase = phase;
    event_del(&conn->timer);
    if (phase == CONN_READING || phase == CONN_WRITING)
        event_add(&conn->timer, &deadline);
}

/* evhttp sees the end of the stream and frees the connection. */
static void shut(struct http_conn *conn)
{
    shutdown(bufferevent_getfd(conn->bufferevent), SHUT_RDWR);
}

/* evhttp would answer with a page of its own, or not at all. Nothing was written since the last
 * answer was flushed, so this cannot come between. */
static void refuse(struct http_conn *conn, int status, const char *why)
{
    char answer[ANSWER_BYTES];
    json_t *problem = http_problem_new(status, NULL, why);
    char *body = problem ? json_write(problem) : NULL;
    int length =
        snprintf(answer, sizeof answer,
                 "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\n"
                 "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                 status, http_problem_title(status), body ? strlen(body) : 0, body ? body : "");
    conn->refused = true;
    conn->guard->n_refused++;
    if (length < (int)sizeof answer)
        send(bufferevent_getfd(conn->bufferevent), answer, (size_t)length,
             MSG_DONTWAIT | MSG_NOSIGNAL);
    free(body);
    json_decref(problem);
    shut(conn);
}

/* ---- heads ---- */

static bool is_numerical(const char *name)
{
    struct in6_addr address;
    char bare[HTTP_HOST_BYTES];
    size_t length = strlen(name);
    if (*name != '[')
        return inet_pton(AF_INET, name, &address) == 1;
    snprintf(bare, sizeof bare, "%.*s", length > 2 ? (int)length - 2 : 0, name + 1);
    return inet_pton(AF_INET6, bare, &address) == 1;
}

/* A page of a stranger's can make a browser come here by a name that it lets point here; but the
 * browser then tells that name. */
static bool knows_host(const struct http_guard *guard, const char *host)
{
    static const char *const always[] = {"localhost", "127.0.0.1", "[::1]"};
    char name[HTTP_HOST_BYTES];
    if (!http_head_host_name(host, name))
        return false;
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (strcmp(name, always[i]) == 0)
            return true;
    for (const char *const *own = guard->options.hosts; *own; own++)
        if (strcasecmp(name, *own) == 0)
            return true;
    return guard->options.any_address && is_numerical(name);
}

/* What changes something is not done for the pages of others. */
static bool is_own_origin(const struct http_head *head)
{
    const char *origin = head->origin;
    if (head->is_safe || !*origin)
        return true;
    if (strncmp(origin, "http://", 7) == 0)
        origin += 7;
    else if (strncmp(origin, "https://", 8) == 0)
        origin += 8;
    else
        return false;
    return strcasecmp(origin, head->host) == 0;
}

static void end_head(struct http_conn *conn)
{
    const struct http_head *head = &conn->head;
    if (head->n_hosts && !knows_host(conn->guard, head->host))
        refuse(conn, 421, "this host does not answer for the name in Host");
    else if (!is_own_origin(head))
        refuse(conn, 403, "requests that change something are not taken from pages of others");
}

/* Bytes of a chunked body, from an offset of the input on. */
static void read_chunks(struct http_conn *conn, struct evbuffer *input, size_t from)
{
    struct evbuffer_ptr at;
    struct evbuffer_iovec piece;
    while (from < evbuffer_get_length(input) &&
           evbuffer_ptr_set(input, &at, from, EVBUFFER_PTR_SET) == 0 &&
           evbuffer_peek(input, -1, &at, &piece, 1) > 0) {
        if (!http_chunks_read(&conn->chunks, piece.iov_base, piece.iov_len)) {
            refuse(conn, conn->chunks.status, conn->chunks.why);
            return;
        }
        from += piece.iov_len;
    }
}

/* Lines that are whole, from an offset of the input on. */
static void scan(struct http_conn *conn, struct evbuffer *input, size_t from)
{
    struct http_guard *guard = conn->guard;
    struct evbuffer_ptr at, end;
    size_t eol = 0, length = evbuffer_get_length(input);
    bool goes_on = true;
    while (goes_on && evbuffer_ptr_set(input, &at, from, EVBUFFER_PTR_SET) == 0) {
        end = evbuffer_search_eol(input, &at, &eol, EVBUFFER_EOL_CRLF);
        if (end.pos < 0)
            break;
        size_t n_line = (size_t)end.pos - from;
        if (n_line >= sizeof guard->line) {
            http_head_refuse(&conn->head, 431, "the head of the request is larger than 16 KiB");
            break;
        }
        evbuffer_copyout_from(input, &at, guard->line, n_line);
        guard->line[n_line] = '\0';
        goes_on = http_head_line(&conn->head, guard->line, n_line);
        from = (size_t)end.pos + eol;
        if (from == length)
            break;
    }
    conn->length = length;
    conn->scanned = from;
    if (conn->head.state < HTTP_HEAD_WHOLE &&
        conn->head.n_bytes + (length - from) > HTTP_HEAD_BYTES_MAX)
        http_head_refuse(&conn->head, conn->head.state == HTTP_HEAD_FIRST_LINE ? 414 : 431,
                         "the head of the request is larger than 16 KiB");
    if (conn->head.state == HTTP_HEAD_REFUSED)
        refuse(conn, conn->head.status, conn->head.why);
    else if (conn->head.state == HTTP_HEAD_WHOLE)
        end_head(conn);
    if (conn->head.is_chunked && conn->head.state == HTTP_HEAD_WHOLE && !conn->refused)
        read_chunks(conn, input, from);
}

static void begin(struct http_conn *conn, struct evbuffer *input)
{
    enter(conn, CONN_READING);
    http_head_init(&conn->head);
    http_chunks_init(&conn->chunks);
    scan(conn, input, 0);
}

/* Before evhttp reads them. Whole lines that it has read are gone from the input; it may not have
 * read what was there when the last answer was flushed. */
static void on_bytes(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct http_conn *conn = arg;
    if (info->n_added == 0 || conn->refused)
        return;
    switch (conn->phase) {
    case CONN_NEW:
    case CONN_IDLE: begin(conn, input); return;
    case CONN_READING:
        if (conn->head.state < HTTP_HEAD_WHOLE) {
            scan(conn, input, info->orig_size == conn->length ? conn->scanned : 0);
        } else if (conn->head.is_chunked) {
            read_chunks(conn, input, evbuffer_get_length(input) - info->n_added);
        }
        return;
    case CONN_WORKING:
    case CONN_STREAMING:
    case CONN_WRITING: return;
    }
}

/* ---- connections ---- */

static struct conns *bucket_of(struct http_guard *guard, const struct evhttp_connection *connection)
{
    return &guard->conns[hash_bytes(&connection, sizeof connection)];
}

static void on_close(struct evhttp_connection *connection, void *arg)
{
    struct http_conn *conn = arg;
    (void)connection;
    evbuffer_remove_cb(bufferevent_get_input(conn->bufferevent), on_bytes, conn);
    enter(conn, CONN_IDLE);
    leave_peer(conn);
    LIST_REMOVE(conn, link);
    if (conn->closed)
        conn->closed(conn->closed_arg);
    free(conn);
}

/* evhttp has made its connection by now; its bufferevent knows which. */
static void adopt(struct http_conn *conn)
{
    bufferevent_data_cb read_cb, write_cb;
    bufferevent_event_cb event_cb;
    void *connection = NULL;
    bufferevent_getcb(conn->bufferevent, &read_cb, &write_cb, &event_cb, &connection);
    bufferevent_decref(conn->bufferevent);
    if (!connection) { /* it failed */
        evbuffer_remove_cb(bufferevent_get_input(conn->bufferevent), on_bytes, conn);
        free(conn);
        return;
    }
    conn->connection = connection;
    LIST_INSERT_HEAD(bucket_of(conn->guard, conn->connection), conn, link);
    evhttp_connection_set_closecb(conn->connection, on_close, conn);
    enter(conn, CONN_IDLE);
    if (!join_peer(conn))
        refuse(conn, 503, "too many connections");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct http_conn *conn = arg;
    (void)fd;
    (void)what;
    switch (conn->phase) {
    case CONN_NEW: adopt(conn); return;
    case CONN_READING:
        if (conn->refused)
            shut(conn);
        else
            refuse(conn, 408, "the request did not arrive in time");
        return;
    case CONN_WRITING: shut(conn); return;
    case CONN_IDLE:
    case CONN_WORKING:
    case CONN_STREAMING: return;
    }
}

static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
    struct http_guard *guard = arg;
    struct http_conn *conn = calloc(1, sizeof *conn);
    struct bufferevent *bufferevent = conn ? bufferevent_socket_new(base, -1, 0) : NULL;
    if (!bufferevent || !evbuffer_add_cb(bufferevent_get_input(bufferevent), on_bytes, conn)) {
        if (bufferevent)
            bufferevent_free(bufferevent);
        free(conn);
        return NULL;
    }
    conn->guard = guard;
    conn->bufferevent = bufferevent;
    bufferevent_incref(bufferevent);
    event_assign(&conn->timer, base, -1, 0, on_timer, conn);
    event_active(&conn->timer, EV_TIMEOUT, 0);
    return bufferevent;
}

static void on_flushed(struct evhttp_request *request, void *arg)
{
    struct http_conn *conn = arg;
    struct evbuffer *input = bufferevent_get_input(conn->bufferevent);
    (void)request;
    enter(conn, CONN_IDLE);
    if (evbuffer_get_length(input) > 0) /* the next request came early */
        begin(conn, input);
}

struct http_conn *http_guard_take(struct http_guard *guard, struct evhttp_request *request)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    struct http_conn *conn;
    LIST_FOREACH(conn, bucket_of(guard, connection), link)
    {
        if (conn->connection == connection)
            break;
    }
    if (!conn || conn->refused)
        return NULL;
    enter(conn, CONN_WORKING);
    evhttp_request_set_on_complete_cb(request, on_flushed, conn);
    return conn;
}

const char *http_guard_peer(const struct http_conn *conn)
{
    return conn->peer ? conn->peer->address : "";
}

void http_guard_writes(struct http_conn *conn)
{
    enter(conn, CONN_WRITING);
}

void http_guard_streams(struct http_conn *conn)
{
    enter(conn, CONN_STREAMING);
}

void http_guard_on_close(struct http_conn *conn, http_guard_closed_fn *closed, void *arg)
{
    conn->closed = closed;
    conn->closed_arg = arg;
}

void http_guard_drop(struct http_conn *conn)
{
    shut(conn);
}

/* ---- listening ---- */

/* Out of file descriptors the listener would be called without end. It cannot be told who the guard
 * is, for its data is evhttp's: so the guard looks. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    (void)arg;
    evconnlistener_disable(listener);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct http_guard *guard = arg;
    (void)fd;
    (void)what;
    if (guard->listener)
        evconnlistener_enable(guard->listener);
}

static bool resolve(const char *address, int port, struct sockaddr_storage *out, socklen_t *length)
{
    struct sockaddr_in *four = (struct sockaddr_in *)out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        *length = sizeof *four;
        return true;
    }
    six->sin6_family = AF_INET6;
    six->sin6_port = htons((uint16_t)port);
    *length = sizeof *six;
    return inet_pton(AF_INET6, address, &six->sin6_addr) == 1;
}

static int port_of(evutil_socket_t fd)
{
    struct sockaddr_in6 address = {0}; /* the port of an IPv4 address stands at the same place */
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        return 0;
    return ntohs(address.sin6_port);
}

bool http_guard_listen(struct http_guard *guard, const char *address, int port, int *port_out,
                       struct fault *fault)
{
    struct sockaddr_storage where;
    socklen_t length;
    if (!resolve(address, port, &where, &length))
        return fault_set(fault, FAULT_INVALID, "'%s' is no address", address);
    guard->listener = evconnlistener_new_bind(
        guard->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC,
        BACKLOG, (struct sockaddr *)&where, (int)length);
    if (!guard->listener)
        return fault_set(fault, FAULT_INVALID, "cannot listen on %s port %d: %s", address, port,
                         strerror(errno));
    guard->bound = evhttp_bind_listener(guard->http, guard->listener);
    if (!guard->bound) {
        evconnlistener_free(guard->listener);
        guard->listener = NULL;
        return fault_no_memory(fault);
    }
    evconnlistener_set_error_cb(guard->listener, on_accept_error);
    *port_out = port_of(evconnlistener_get_fd(guard->listener));
    return true;
}

void http_guard_stop_listening(struct http_guard *guard)
{
    if (guard->bound)
        evhttp_del_accept_socket(guard->http, guard->bound);
    guard->bound = NULL;
    guard->listener = NULL;
}

/* ---- life ---- */

bool http_guard_new(struct event_base *base, struct evhttp *http,
                    const struct http_guard_options *options, struct http_guard **out,
                    struct fault *fault)
{
    struct http_guard *guard = calloc(1, sizeof *guard);
    if (!guard)
        return fault_no_memory(fault);
    guard->base = base;
    guard->http = http;
    guard->options = *options;
    guard->resume = event_new(base, -1, EV_PERSIST, on_resume, guard);
    struct timeval pause = clock_timeval_us(PAUSE_US);
    if (!guard->resume || event_add(guard->resume, &pause) != 0) {
        http_guard_free(guard);
        return fault_no_memory(fault);
    }
    evhttp_set_bevcb(http, on_accept, guard);
    *out = guard;
    return true;
}

void http_guard_free(struct http_guard *guard)
{
    if (!guard)
        return;
    if (guard->resume)
        event_free(guard->resume);
    free(guard);
}

int http_guard_n_connections(const struct http_guard *guard)
{
    return guard->n_connections;
}

int http_guard_n_busy(const struct http_guard *guard)
{
    return guard->n_busy;
}

int64_t http_guard_n_refused(const struct http_guard *guard)
{
    return guard->n_refused;
}
