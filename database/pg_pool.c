/*
 * Two lines of requests, each with connections of its own: the ordinary one and the reserved one
 * (a single connection). A line dispatches from the loop only, so a taker is never called back
 * inside pg_pool_take.
 *
 *   request --> idle connection? lend it
 *           --> none at all, and none to be had? take over what the other line has idle
 *           --> room for one more? open it; on failure wait (backoff) and try again while somebody
 *               asks
 */
#include "pg_pool.h"

#include "clock.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum {
    BACKOFF_FIRST_US = 20 * 1000,
    BACKOFF_MAX_US = 2 * 1000 * 1000,
    LINES = 2,
};

struct member {
    struct pg_conn *conn;
    struct line *line;
    bool lent;
    bool opening;
    LIST_ENTRY(member) link;
};

struct pg_request {
    struct line *line;
    struct event *timer;
    pg_pool_fn *done;
    void *arg;
    bool first; /* stands before all that are not */
    TAILQ_ENTRY(pg_request) link;
};

struct line {
    struct pg_pool *pool;
    int max;
    int n_open; /* opening, idle and lent */
    int n_idle;
    int n_opening;
    int n_requests;
    int64_t backoff_us; /* 0 = the last attempt to connect succeeded */
    bool backing_off;   /* waiting before the next attempt */
    struct fault last;  /* why the last attempt failed */
    struct event *retry;
    struct event *dispatch;
    LIST_HEAD(, member) members;
    TAILQ_HEAD(, pg_request) requests;
};

struct pg_pool {
    struct event_base *base;
    struct pg_conn_options options; /* strings owned */
    struct line lines[LINES];
    int server_version;
};

static void dispatch_soon(struct line *line)
{
    event_active(line->dispatch, EV_TIMEOUT, 0);
}

static void forget_member(struct member *member)
{
    struct line *line = member->line;
    line->n_open--;
    line->n_opening -= member->opening;
    if (!member->lent && !member->opening)
        line->n_idle--;
    LIST_REMOVE(member, link);
    pg_conn_close(member->conn);
    free(member);
}

static void request_free(struct pg_request *request)
{
    TAILQ_REMOVE(&request->line->requests, request, link);
    request->line->n_requests--;
    event_free(request->timer);
    free(request);
}

static void answer(struct pg_request *request, struct pg_conn *conn, const struct fault *fault)
{
    pg_pool_fn *done = request->done;
    void *arg = request->arg;
    request_free(request);
    done(conn, fault, arg);
}

static void fail_all(struct line *line, const struct fault *fault)
{
    struct fault copy = *fault;
    for (int n = line->n_requests; n > 0 && !TAILQ_EMPTY(&line->requests); n--)
        answer(TAILQ_FIRST(&line->requests), NULL, &copy);
}

static void back_off(struct line *line)
{
    line->backoff_us = line->backoff_us ? 2 * line->backoff_us : BACKOFF_FIRST_US;
    if (line->backoff_us > BACKOFF_MAX_US)
        line->backoff_us = BACKOFF_MAX_US;
    struct timeval delay =
        clock_timeval_us((int64_t)((double)line->backoff_us * (0.5 + clock_jitter() / 2)));
    line->backing_off = true;
    event_add(line->retry, &delay);
}

static void on_up(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct member *member = arg;
    struct line *line = member->line;
    member->opening = false;
    line->n_opening--;
    line->n_idle++;
    if (fault) {
        struct fault copy = *fault;
        line->last = copy;
        forget_member(member);
        if (pg_fault_is_final(&copy))
            fail_all(line, &copy);
        else if (!line->backing_off)
            back_off(line);
        dispatch_soon(line);
        return;
    }
    line->pool->server_version = pg_conn_server_version(conn);
    line->backoff_us = 0;
    dispatch_soon(line);
}

static bool open_one(struct line *line)
{
    struct member *member = calloc(1, sizeof *member);
    if (!member)
        return fault_no_memory(&line->last);
    member->line = line;
    member->opening = true;
    if (!pg_conn_open(line->pool->base, &line->pool->options, on_up, member, &member->conn,
                      &line->last)) {
        free(member);
        return false;
    }
    line->n_open++;
    line->n_opening++;
    LIST_INSERT_HEAD(&line->members, member, link);
    return true;
}

/* Drops idle connections that have broken meanwhile; NULL if none is idle and sound. */
static struct member *find_idle(struct line *line)
{
    struct member *member = LIST_FIRST(&line->members);
    while (member) {
        struct member *next = LIST_NEXT(member, link);
        if (!member->lent && !member->opening) {
            if (pg_conn_is_idle(member->conn))
                return member;
            forget_member(member);
        }
        member = next;
    }
    return NULL;
}

static struct line *other_line(const struct line *line)
{
    return &line->pool->lines[line == &line->pool->lines[PG_POOL_ORDINARY] ? PG_POOL_RESERVED
                                                                           : PG_POOL_ORDINARY];
}

/* On a server that is full, hosts that each keep one idle connection and want a second one would
 * wait for each other for ever. So a line that has none and gets none takes over an idle one. The
 * reserved line goes first: its needs are short, and others may wait for a look-up. */
static struct member *take_over(struct line *line)
{
    struct line *other = other_line(line);
    if (line->n_open > 0 || !line->backoff_us ||
        (other == &line->pool->lines[PG_POOL_RESERVED] && other->n_requests))
        return NULL;
    struct member *member = find_idle(other);
    if (!member)
        return NULL;
    LIST_REMOVE(member, link);
    other->n_open--;
    other->n_idle--;
    member->line = line;
    LIST_INSERT_HEAD(&line->members, member, link);
    line->n_open++;
    line->n_idle++;
    return member;
}

static void lend_to_first(struct line *line, struct member *member)
{
    member->lent = true;
    line->n_idle--;
    answer(TAILQ_FIRST(&line->requests), member->conn, NULL);
}

static void on_dispatch(evutil_socket_t fd, short what, void *arg)
{
    struct line *line = arg;
    (void)fd;
    (void)what;
    while (!TAILQ_EMPTY(&line->requests)) {
        struct member *member = find_idle(line);
        if (!member)
            member = take_over(line);
        if (!member)
            break;
        lend_to_first(line, member);
    }
    while (!line->backing_off && line->n_requests > line->n_opening && line->n_open < line->max) {
        if (line->backoff_us && line->n_opening) /* the last attempt failed: one probe at a time */
            break;
        if (open_one(line))
            continue;
        if (pg_fault_is_final(&line->last))
            fail_all(line, &line->last);
        else
            back_off(line);
        break;
    }
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct line *line = arg;
    line->backing_off = false;
    on_dispatch(fd, what, line);
}

static void on_request_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct pg_request *request = arg;
    struct line *line = request->line;
    struct fault fault;
    /* A connection that has just come up or back is about to be dispatched. */
    struct member *member = TAILQ_FIRST(&line->requests) == request ? find_idle(line) : NULL;
    (void)fd;
    (void)what;
    if (member) {
        lend_to_first(line, member);
        return;
    }
    if (line->backoff_us && line->last.kind)
        fault = line->last;
    else
        fault_set(&fault, FAULT_DATABASE, "no database connection became free in time");
    answer(request, NULL, &fault);
}

static void enter_line(struct line *line, struct pg_request *request)
{
    struct pg_request *other = NULL;
    if (request->first) {
        TAILQ_FOREACH(other, &line->requests, link)
        {
            if (!other->first)
                break;
        }
    }
    if (other)
        TAILQ_INSERT_BEFORE(other, request, link);
    else
        TAILQ_INSERT_TAIL(&line->requests, request, link);
    line->n_requests++;
}

bool pg_pool_take(struct pg_pool *pool, enum pg_pool_line which, int64_t timeout_us,
                  pg_pool_fn *done, void *arg, struct pg_request **out, struct fault *fault)
{
    bool reserved = which == PG_POOL_RESERVED;
    struct line *line = &pool->lines[reserved ? PG_POOL_RESERVED : PG_POOL_ORDINARY];
    struct pg_request *request = calloc(1, sizeof *request);
    if (!request)
        return fault_no_memory(fault);
    request->timer = event_new(pool->base, -1, 0, on_request_timeout, request);
    struct timeval limit = clock_timeval_us(timeout_us);
    if (!request->timer || event_add(request->timer, &limit) != 0) {
        if (request->timer)
            event_free(request->timer);
        free(request);
        return fault_no_memory(fault);
    }
    request->line = line;
    request->done = done;
    request->arg = arg;
    request->first = which == PG_POOL_FIRST;
    enter_line(line, request);
    dispatch_soon(line);
    *out = request;
    return true;
}

void pg_pool_cancel(struct pg_request *request)
{
    request_free(request);
}

static void take_back(struct pg_pool *pool, struct pg_conn *conn, bool usable)
{
    for (int i = 0; i < LINES; i++) {
        struct line *line = &pool->lines[i];
        struct member *member;
        LIST_FOREACH(member, &line->members, link)
        {
            if (member->conn != conn)
                continue;
            assert(member->lent);
            member->lent = false;
            line->n_idle++;
            pg_conn_on_notify(conn, NULL, NULL);
            if (!usable || !pg_conn_is_idle(conn))
                forget_member(member);
            dispatch_soon(&pool->lines[PG_POOL_RESERVED]);
            dispatch_soon(&pool->lines[PG_POOL_ORDINARY]);
            return;
        }
    }
    assert(!"the connection belongs to this pool");
}

void pg_pool_give(struct pg_pool *pool, struct pg_conn *conn)
{
    take_back(pool, conn, /* usable= */ true);
}

void pg_pool_discard(struct pg_pool *pool, struct pg_conn *conn)
{
    take_back(pool, conn, /* usable= */ false);
}

int pg_pool_n_free(const struct pg_pool *pool)
{
    const struct line *line = &pool->lines[PG_POOL_ORDINARY];
    int n_free = line->max - line->n_open + line->n_idle + line->n_opening - line->n_requests;
    return n_free > 0 ? n_free : 0;
}

int pg_pool_n_open(const struct pg_pool *pool)
{
    return pool->lines[PG_POOL_ORDINARY].n_open + pool->lines[PG_POOL_RESERVED].n_open;
}

int pg_pool_max(const struct pg_pool *pool)
{
    return pool->lines[PG_POOL_ORDINARY].max + pool->lines[PG_POOL_RESERVED].max;
}

const struct fault *pg_pool_trouble(const struct pg_pool *pool)
{
    const struct line *line = &pool->lines[PG_POOL_ORDINARY];
    const struct member *member;
    if (!line->backoff_us || !line->last.kind)
        return NULL;
    LIST_FOREACH(member, &line->members, link)
    {
        if (!member->opening && !pg_conn_is_broken(member->conn))
            return NULL;
    }
    return &line->last;
}

int pg_pool_server_version(const struct pg_pool *pool)
{
    return pool->server_version;
}

static bool line_init(struct line *line, struct pg_pool *pool, int max)
{
    *line = (struct line){.pool = pool, .max = max};
    LIST_INIT(&line->members);
    TAILQ_INIT(&line->requests);
    line->retry = event_new(pool->base, -1, 0, on_retry, line);
    line->dispatch = event_new(pool->base, -1, 0, on_dispatch, line);
    return line->retry && line->dispatch;
}

static bool copy_options(struct pg_pool *pool, const struct pg_conn_options *options)
{
    pool->options = *options;
    pool->options.conninfo = strdup(options->conninfo);
    pool->options.schema = strdup(options->schema);
    pool->options.application_name = strdup(options->application_name);
    return pool->options.conninfo && pool->options.schema && pool->options.application_name;
}

bool pg_pool_new(struct event_base *base, const struct pg_pool_options *options,
                 struct pg_pool **out, struct fault *fault)
{
    assert(options->max_connections >= 2);
    struct pg_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return fault_no_memory(fault);
    pool->base = base;
    bool ok = copy_options(pool, &options->conn);
    ok = line_init(&pool->lines[PG_POOL_RESERVED], pool, 1) && ok;
    ok = line_init(&pool->lines[PG_POOL_ORDINARY], pool, options->max_connections - 1) && ok;
    if (!ok) {
        pg_pool_free(pool);
        return fault_no_memory(fault);
    }
    *out = pool;
    return true;
}

void pg_pool_free(struct pg_pool *pool)
{
    if (!pool)
        return;
    for (int i = 0; i < LINES; i++) {
        struct line *line = &pool->lines[i];
        assert(TAILQ_EMPTY(&line->requests));
        while (!LIST_EMPTY(&line->members)) {
            assert(!LIST_FIRST(&line->members)->lent);
            forget_member(LIST_FIRST(&line->members));
        }
        if (line->retry)
            event_free(line->retry);
        if (line->dispatch)
            event_free(line->dispatch);
    }
    free((char *)pool->options.conninfo);
    free((char *)pool->options.schema);
    free((char *)pool->options.application_name);
    free(pool);
}
