/*
 * What the tests of this layer stand on: a database of their own, a loop, an outsider's connection.
 */
#pragma once
#include "pg_conn.h"
#include "postgres_fixture.h"

#include <event2/event.h>

struct desk {
    char conninfo[FIXTURE_CONNINFO_BYTES];
    struct event_base *base;
    struct pg_pipeline *pipeline; /* empty at the beginning of each test */
    PGconn *outsider;             /* blocking, of the same database */
};

/* Group setup and teardown, and the setup of each test. */
int desk_open(void **state);
int desk_close(void **state);
int desk_clear(void **state);

struct pg_conn_options desk_options(const struct desk *desk);

/* An own connection; the test fails without it. */
struct pg_conn *desk_connect(struct desk *desk);

/* Adds a statement without parameters. */
int desk_add(struct desk *desk, const char *text);

/* Sends the desk's pipeline and waits; the pipeline is emptied. *out is pg_answer_done's, also
 * after a failure, which fails no test. */
void desk_send(struct desk *desk, struct pg_conn *conn, struct pg_answer *out);
void desk_send_within(struct desk *desk, struct pg_conn *conn, int64_t timeout_us,
                      struct pg_answer *out);

/* One statement that must succeed. Its first value goes to out, cut to 64 bytes. */
void desk_run(struct desk *desk, struct pg_conn *conn, const char *text, char out[64]);

/* Runs the loop until *flag is true, or fails the test after timeout_ms. */
void desk_loop_until(struct desk *desk, const bool *flag, int timeout_ms);
void desk_loop_for(struct desk *desk, int ms);
