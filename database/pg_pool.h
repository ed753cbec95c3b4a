/*
 * The connections of one host: opened on demand up to a limit, replaced when they break,
 * reconnected with backoff and jitter. One is opened first and reserved for the host's own short
 * needs. Only when there is no other and none can be opened, the server being full, does it serve
 * all needs in turn.
 */
#pragma once
#include "pg_conn.h"

struct pg_pool;
struct pg_request;

struct pg_pool_options {
    struct pg_conn_options conn;
    int max_connections; /* the reserved one among them; at least 2 */
};

/* *out is yours to pg_pool_free. Nothing is opened yet. */
MUST_CHECK bool pg_pool_new(struct event_base *base, const struct pg_pool_options *options,
                            struct pg_pool **out, struct fault *fault);

/* Every request must have been answered or cancelled and every connection given back. Never inside
 * a pg_pool_fn. */
void pg_pool_free(struct pg_pool *pool);

/* conn is lent until pg_pool_give. NULL: *fault says why (the last failure to connect). */
typedef void pg_pool_fn(struct pg_conn *conn, const struct fault *fault, void *arg);

enum pg_pool_line {
    PG_POOL_ORDINARY,
    PG_POOL_RESERVED, /* the one connection for heartbeats and look-ups */
    PG_POOL_FIRST,    /* an ordinary one, before all who ask by PG_POOL_ORDINARY */
};

/* Asks for an idle connection, first come first served in its line. done runs exactly once from the
 * loop, never before this returned. timeout_us: how long to wait, through failures to connect too
 * (refused, starting up, too many connections: tried again with backoff); failures that no waiting
 * heals (a wrong password, no such database) are told at once. *out may be used to cancel until
 * done runs.
 */
MUST_CHECK bool pg_pool_take(struct pg_pool *pool, enum pg_pool_line line, int64_t timeout_us,
                             pg_pool_fn *done, void *arg, struct pg_request **out,
                             struct fault *fault);

/* Withdraws a request; done is not called. */
void pg_pool_cancel(struct pg_request *request);

/* Gives a connection back. One that is broken, busy or inside a transaction is closed instead. */
void pg_pool_give(struct pg_pool *pool, struct pg_conn *conn);

/* The same for a connection whose session is of no more use: it is closed. */
void pg_pool_discard(struct pg_pool *pool, struct pg_conn *conn);

/* How many ordinary connections could be taken at once now: idle ones and those not yet opened. */
int pg_pool_n_free(const struct pg_pool *pool);
int pg_pool_n_open(const struct pg_pool *pool);
int pg_pool_max(const struct pg_pool *pool);

/* Why there is no ordinary connection and none can be made at present: the failure of the last
 * attempt. NULL while there is one. Borrowed until the loop turns. */
const struct fault *pg_pool_trouble(const struct pg_pool *pool);

/* 0 until a connection was up. */
int pg_pool_server_version(const struct pg_pool *pool);
