#include "database_tests.h"
#include "desk.h"

#include "clock.h"
#include "pg_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    TAKERS = 8,
};

/* One request and what became of it. */
struct taker {
    struct pg_request *request;
    struct pg_conn *conn;
    struct fault fault;
    bool told;
    int turn; /* 1 = the first to be told */
    int *turns;
};

static void on_taken(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct taker *taker = arg;
    assert_false(taker->told);
    taker->told = true;
    taker->request = NULL;
    taker->conn = conn;
    if (!conn)
        taker->fault = *fault;
    if (taker->turns)
        taker->turn = ++*taker->turns;
}

static struct pg_pool *make_pool(struct desk *desk, const char *conninfo, int max)
{
    struct pg_pool_options options = {.conn = desk_options(desk), .max_connections = max};
    struct pg_pool *pool = NULL;
    struct fault fault;
    options.conn.conninfo = conninfo;
    assert_true(pg_pool_new(desk->base, &options, &pool, &fault));
    return pool;
}

static void start(struct pg_pool *pool, struct taker *taker, enum pg_pool_line line, int ms)
{
    struct fault fault;
    int *turns = taker->turns;
    *taker = (struct taker){.turns = turns};
    assert_true(
        pg_pool_take(pool, line, (int64_t)ms * 1000, on_taken, taker, &taker->request, &fault));
    assert_false(taker->told); /* never before take has returned */
}

static struct pg_conn *take(struct desk *desk, struct pg_pool *pool)
{
    struct taker taker = {.turns = NULL};
    start(pool, &taker, PG_POOL_ORDINARY, 5000);
    desk_loop_until(desk, &taker.told, 6000);
    if (!taker.conn)
        fail_msg("%s", taker.fault.text);
    return taker.conn;
}

static void connections_are_opened_on_demand_up_to_the_limit(void **state)
{
    struct desk *desk = *state;
    struct pg_pool *pool = make_pool(desk, desk->conninfo, 4);
    struct taker takers[TAKERS] = {{.told = false}};
    int n_told = 0;
    assert_int_equal(pg_pool_max(pool), 4);
    assert_int_equal(pg_pool_n_open(pool), 0);
    assert_int_equal(pg_pool_n_free(pool), 3);
    assert_int_equal(pg_pool_server_version(pool), 0);
    struct pg_conn *first = take(desk, pool);
    assert_int_equal(pg_pool_server_version(pool), pg_conn_server_version(first));
    assert_int_equal(pg_pool_n_open(pool), 1);
    assert_int_equal(pg_pool_n_free(pool), 2);
    pg_pool_give(pool, first);
    assert_int_equal(pg_pool_n_free(pool), 3);
    assert_ptr_equal(take(desk, pool), first); /* idle: lent again */
    pg_pool_give(pool, first);
    for (int i = 0; i < TAKERS; i++)
        start(pool, &takers[i], PG_POOL_ORDINARY, 5000);
    desk_loop_for(desk, 200);
    for (int i = 0; i < TAKERS; i++)
        n_told += takers[i].told;
    assert_int_equal(n_told, 3);
    assert_int_equal(pg_pool_n_open(pool), 3);
    assert_int_equal(pg_pool_n_free(pool), 0);
    for (int i = 0; i < TAKERS; i++) {
        desk_loop_until(desk, &takers[i].told, 5000);
        assert_non_null(takers[i].conn);
        pg_pool_give(pool, takers[i].conn);
    }
    assert_int_equal(pg_pool_n_open(pool), 3);
    pg_pool_free(pool);
}

static void who_comes_first_is_served_first(void **state)
{
    struct desk *desk = *state;
    struct pg_pool *pool = make_pool(desk, desk->conninfo, 2);
    struct taker takers[TAKERS];
    int turns = 0;
    struct pg_conn *conn = take(desk, pool);
    for (int i = 0; i < TAKERS; i++) {
        takers[i].turns = &turns;
        start(pool, &takers[i], PG_POOL_ORDINARY, 5000);
    }
    pg_pool_give(pool, conn);
    for (int i = 0; i < TAKERS; i++) {
        desk_loop_until(desk, &takers[i].told, 5000);
        assert_int_equal(takers[i].turn, i + 1);
        assert_ptr_equal(takers[i].conn, conn);
        pg_pool_give(pool, conn);
    }
    pg_pool_free(pool);
}

static void a_cancelled_request_is_never_answered(void **state)
{
    struct desk *desk = *state;
    struct pg_pool *pool = make_pool(desk, desk->conninfo, 2);
    struct taker one = {.turns = NULL}, other = {.turns = NULL};
    struct pg_conn *conn = take(desk, pool);
    start(pool, &one, PG_POOL_ORDINARY, 100);
    start(pool, &other, PG_POOL_ORDINARY, 5000);
    pg_pool_cancel(one.request);
    pg_pool_give(pool, conn);
    desk_loop_until(desk, &other.told, 5000);
    desk_loop_for(desk, 150);
    assert_false(one.told);
    pg_pool_give(pool, other.conn);
    start(pool, &one, PG_POOL_ORDINARY, 100);
    pg_pool_cancel(one.request); /* before the loop saw it */
    desk_loop_for(desk, 20);
    assert_false(one.told);
    pg_pool_free(pool);
}

static void a_request_gives_up_in_time(void **state)
{
    struct desk *desk = *state;
    struct pg_pool *pool = make_pool(desk, desk->conninfo, 2);
    struct taker taker = {.turns = NULL};
    struct pg_conn *conn = take(desk, pool);
    int64_t started_us = clock_monotonic_us();
    start(pool, &taker, PG_POOL_ORDINARY, 100);
    desk_loop_until(desk, &taker.told, 5000);
    assert_in_range(clock_monotonic_us() - started_us, 90000, 20000000);
    assert_null(taker.conn);
    assert_int_equal(taker.fault.kind, FAULT_DATABASE);
    assert_string_equal(taker.fault.text, "no database connection became free in time");
    pg_pool_give(pool, conn);
    pg_pool_free(pool);
}

static void the_reserved_connection_is_apart(void **state)
{
    struct desk *desk = *state;
    struct pg_pool *pool = make_pool(desk, desk->conninfo, 2);
    struct taker reserved = {.turns = NULL}, second = {.turns = NULL};
    struct pg_conn *conn = take(desk, pool);
    start(pool, &reserved, PG_POOL_RESERVED, 5000);
    desk_loop_until(desk, &reserved.told, 5000); /* although the ordinary line has none left */
    assert_non_null(reserved.conn);
    assert_ptr_not_equal(reserved.conn, conn);
    assert_int_equal(pg_pool_n_open(pool), 2);
    start(pool, &second, PG_POOL_RESERVED, 50);
    pg_pool_give(pool, conn);
    desk_loop_until(desk, &second.told, 5000); /* an ordinary one is free, but not for this line */
    assert_null(second.conn);
    pg_pool_give(pool, reserved.conn);
    pg_pool_free(pool);
}

static void what_comes_back_inside_a_transaction_is_closed(void **state)
{
    struct desk *desk = *state;
    struct pg_pool *pool = make_pool(desk, desk->conninfo, 2);
    char pid[64], gone[128];
    struct pg_conn *conn = take(desk, pool);
    desk_run(desk, conn, "SELECT pg_backend_pid()", pid);
    desk_run(desk, conn, "BEGIN", NULL);
    pg_pool_give(pool, conn);
    assert_int_equal(pg_pool_n_open(pool), 0);
    snprintf(gone, sizeof gone, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)",
             pid);
    fixture_eventually_true(desk->outsider, gone, 5000);
    conn = take(desk, pool);
    desk_run(desk, conn, "SELECT 1", NULL);
    pg_pool_give(pool, conn);
    pg_pool_free(pool);
}

static void never_called(struct pg_answer *answer, void *arg)
{
    (void)answer;
    (void)arg;
    fail_msg("a connection that was given back called its done");
}

static void what_comes_back_busy_is_closed(void **state)
{
    struct desk *desk = *state;
    struct pg_pool *pool = make_pool(desk, desk->conninfo, 2);
    struct fault fault;
    struct pg_conn *conn = take(desk, pool);
    desk_add(desk, "SELECT pg_sleep(0.05)");
    assert_true(pg_conn_send(conn, desk->pipeline, 0, never_called, NULL, &fault));
    pg_pool_give(pool, conn);
    assert_int_equal(pg_pool_n_open(pool), 0);
    desk_loop_for(desk, 150);
    pg_pool_free(pool);
}

static void what_is_worn_out_is_replaced(void **state)
{
    struct desk *desk = *state;
    struct pg_pool *pool = make_pool(desk, desk->conninfo, 2);
    struct pg_answer answer;
    fixture_exec(desk->outsider, "CREATE TABLE pool_worn (a int)");
    struct pg_conn *conn = take(desk, pool);
    desk_run(desk, conn, "SELECT * FROM pool_worn", NULL);
    pg_pool_give(pool, conn);
    fixture_exec(desk->outsider, "ALTER TABLE pool_worn ADD b int");
    conn = take(desk, pool);
    desk_add(desk, "SELECT * FROM pool_worn");
    desk_send(desk, conn, &answer);
    assert_string_equal(answer.fault.sqlstate, "0A000");
    pg_answer_done(&answer);
    pg_pool_give(pool, conn);
    conn = take(desk, pool);
    desk_run(desk, conn, "SELECT * FROM pool_worn", NULL);
    pg_pool_give(pool, conn);
    pg_pool_free(pool);
}

static void a_connection_that_broke_while_idle_is_replaced(void **state)
{
    struct desk *desk = *state;
    struct pg_pool *pool = make_pool(desk, desk->conninfo, 3);
    struct taker takers[2] = {{.turns = NULL}};
    for (int i = 0; i < 2; i++)
        start(pool, &takers[i], PG_POOL_ORDINARY, 5000);
    for (int i = 0; i < 2; i++)
        desk_loop_until(desk, &takers[i].told, 5000);
    for (int i = 0; i < 2; i++) {
        fixture_execf(desk->outsider, "SELECT pg_terminate_backend(%d)",
                      pg_conn_backend_pid(takers[i].conn));
        pg_pool_give(pool, takers[i].conn);
    }
    desk_loop_for(desk, 100);
    for (int i = 0; i < 2; i++) {
        struct pg_conn *conn = take(desk, pool);
        desk_run(desk, conn, "SELECT 1", NULL);
        pg_pool_give(pool, conn);
    }
    assert_int_equal(pg_pool_n_open(pool), 1);
    pg_pool_free(pool);
}

static void a_refused_port_is_tried_until_the_time_is_over(void **state)
{
    struct desk *desk = *state;
    struct pg_pool *pool = make_pool(desk, "host=127.0.0.1 port=1 dbname=x", 4);
    struct taker takers[3] = {{.turns = NULL}};
    int64_t started_us = clock_monotonic_us();
    for (int i = 0; i < 3; i++)
        start(pool, &takers[i], PG_POOL_ORDINARY, 300);
    for (int i = 0; i < 3; i++) {
        desk_loop_until(desk, &takers[i].told, 5000);
        assert_null(takers[i].conn);
        assert_non_null(strstr(takers[i].fault.text, "Connection refused"));
    }
    assert_in_range(clock_monotonic_us() - started_us, 290000, 20000000);
    assert_int_equal(pg_pool_n_open(pool), 0);
    pg_pool_free(pool);
}

static void a_missing_database_is_told_at_once(void **state)
{
    struct desk *desk = *state;
    char conninfo[2 * FIXTURE_CONNINFO_BYTES];
    snprintf(conninfo, sizeof conninfo, "%s dbname=no_such_database", desk->conninfo);
    const char *const conninfos[] = {conninfo, "nothing=1"};
    for (int i = 0; i < 2; i++) {
        struct pg_pool *pool = make_pool(desk, conninfos[i], 4);
        struct taker takers[3] = {{.turns = NULL}};
        int64_t started_us = clock_monotonic_us();
        for (int t = 0; t < 3; t++)
            start(pool, &takers[t], PG_POOL_ORDINARY, 30000);
        for (int t = 0; t < 3; t++) {
            desk_loop_until(desk, &takers[t].told, 5000);
            assert_null(takers[t].conn);
        }
        assert_in_range(clock_monotonic_us() - started_us, 0, 20000000);
        if (i == 0)
            assert_string_equal(takers[0].fault.sqlstate, "3D000");
        else
            assert_int_equal(takers[0].fault.kind, FAULT_INVALID);
        start(pool, &takers[0], PG_POOL_ORDINARY, 30000); /* and again */
        desk_loop_until(desk, &takers[0].told, 5000);
        desk_loop_for(desk, 50); /* openings that nobody waits for any more */
        pg_pool_free(pool);
    }
}

/* A role that may have a single connection: the server says 53300. */
static void too_many_connections_are_waited_for(void **state)
{
    struct desk *desk = *state;
    char conninfo[2 * FIXTURE_CONNINFO_BYTES], role[64];
    struct taker taker = {.turns = NULL};
    fixture_text(desk->outsider, "SELECT 'only_' || current_database()", role, sizeof role);
    fixture_execf(desk->outsider, "CREATE ROLE %s LOGIN PASSWORD 'x' CONNECTION LIMIT 1", role);
    snprintf(conninfo, sizeof conninfo, "%s user=%s password=x", desk->conninfo, role);
    PGconn *holder = fixture_connect(conninfo);
    struct pg_pool *pool = make_pool(desk, conninfo, 4);
    start(pool, &taker, PG_POOL_ORDINARY, 10000);
    desk_loop_for(desk, 150);
    assert_false(taker.told);
    PQfinish(holder);
    desk_loop_until(desk, &taker.told, 10000);
    if (!taker.conn)
        fail_msg("%s", taker.fault.text);

    struct taker second = {.turns = NULL}; /* the pool's own connection is the one: it comes back */
    start(pool, &second, PG_POOL_ORDINARY, 10000);
    desk_loop_for(desk, 50);
    assert_false(second.told);
    pg_pool_give(pool, taker.conn);
    desk_loop_until(desk, &second.told, 1000);
    assert_non_null(second.conn);
    start(pool, &taker, PG_POOL_ORDINARY, 100);
    desk_loop_until(desk, &taker.told, 5000);
    assert_string_equal(taker.fault.sqlstate, "53300");
    pg_pool_give(pool, second.conn);
    pg_pool_free(pool);
    fixture_execf(desk->outsider, "DROP ROLE %s", role);
}

/* Several hosts that each hold their reserved connection would else wait for each other. */
static void the_only_connection_serves_both_lines_in_turn(void **state)
{
    struct desk *desk = *state;
    char conninfo[2 * FIXTURE_CONNINFO_BYTES], role[64];
    struct taker reserved = {.turns = NULL}, ordinary = {.turns = NULL}, next = {.turns = NULL};
    fixture_text(desk->outsider, "SELECT 'sole_' || current_database()", role, sizeof role);
    fixture_execf(desk->outsider, "CREATE ROLE %s LOGIN PASSWORD 'x' CONNECTION LIMIT 1", role);
    snprintf(conninfo, sizeof conninfo, "%s user=%s password=x", desk->conninfo, role);
    struct pg_pool *pool = make_pool(desk, conninfo, 4);
    start(pool, &reserved, PG_POOL_RESERVED, 10000);
    desk_loop_until(desk, &reserved.told, 10000);
    assert_non_null(reserved.conn);
    start(pool, &ordinary, PG_POOL_ORDINARY, 20000);
    desk_loop_for(desk, 150);
    assert_false(ordinary.told); /* it is lent */
    assert_non_null(pg_pool_trouble(pool));
    pg_pool_give(pool, reserved.conn);
    desk_loop_until(desk, &ordinary.told, 10000);
    assert_ptr_equal(ordinary.conn, reserved.conn);
    assert_null(pg_pool_trouble(pool));

    start(pool, &next, PG_POOL_ORDINARY, 20000);
    start(pool, &reserved, PG_POOL_RESERVED, 20000);
    desk_loop_for(desk, 150);
    assert_false(next.told || reserved.told);
    assert_null(pg_pool_trouble(pool)); /* there is one, at work */
    /* an attempt at another one counts until the server has refused it */
    for (int i = 0; i < 1000 && pg_pool_n_open(pool) != 1; i++)
        desk_loop_for(desk, 10);
    assert_int_equal(pg_pool_n_open(pool), 1);
    pg_pool_give(pool, ordinary.conn);
    for (int i = 0; i < 1000 && !(next.told || reserved.told); i++)
        desk_loop_for(desk, 10);
    struct taker *first = next.told ? &next : &reserved; /* one of them may be about to try */
    struct taker *last = next.told ? &reserved : &next;
    assert_non_null(first->conn);
    assert_false(last->told);
    pg_pool_give(pool, first->conn);
    desk_loop_until(desk, &last->told, 10000);
    assert_non_null(last->conn);
    pg_pool_give(pool, last->conn);
    pg_pool_free(pool);
    fixture_execf(desk->outsider, "DROP ROLE %s", role);
}

static void a_pool_may_be_freed_while_it_opens(void **state)
{
    struct desk *desk = *state;
    for (int ms = 0; ms < 8; ms += 2) {
        struct pg_pool *pool = make_pool(desk, desk->conninfo, 4);
        struct taker taker = {.turns = NULL};
        start(pool, &taker, PG_POOL_ORDINARY, 5000);
        desk_loop_for(desk, ms);
        if (taker.told)
            pg_pool_give(pool, taker.conn);
        else
            pg_pool_cancel(taker.request);
        pg_pool_free(pool);
        desk_loop_for(desk, 5);
    }
    pg_pool_free(NULL);
}

static void who_asks_to_be_first_passes_those_who_do_not(void **state)
{
    struct desk *desk = *state;
    int turns = 0;
    struct taker takers[5];
    static const enum pg_pool_line lines[] = {PG_POOL_ORDINARY, PG_POOL_ORDINARY, PG_POOL_FIRST,
                                              PG_POOL_ORDINARY, PG_POOL_FIRST};
    static const int places[] = {0, 3, 1, 4, 2};
    struct pg_pool *pool = make_pool(desk, desk->conninfo, 2);
    for (int i = 0; i < 5; i++) {
        takers[i] = (struct taker){.turns = &turns};
        start(pool, &takers[i], lines[i], 10000);
        if (i == 0)
            desk_loop_until(desk, &takers[0].told, 5000);
    }
    for (int place = 0; place < 5; place++) {
        int i = 0;
        while (places[i] != place)
            i++;
        desk_loop_until(desk, &takers[i].told, 5000);
        assert_non_null(takers[i].conn);
        assert_int_equal(takers[i].turn, place + 1);
        pg_pool_give(pool, takers[i].conn);
    }
    pg_pool_free(pool);
}

#define TEST(name) cmocka_unit_test_setup(name, desk_clear)

int pg_pool_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connections_are_opened_on_demand_up_to_the_limit),
        TEST(who_comes_first_is_served_first),
        TEST(who_asks_to_be_first_passes_those_who_do_not),
        TEST(a_cancelled_request_is_never_answered),
        TEST(a_request_gives_up_in_time),
        TEST(the_reserved_connection_is_apart),
        TEST(what_comes_back_inside_a_transaction_is_closed),
        TEST(what_comes_back_busy_is_closed),
        TEST(what_is_worn_out_is_replaced),
        TEST(a_connection_that_broke_while_idle_is_replaced),
        TEST(a_refused_port_is_tried_until_the_time_is_over),
        TEST(a_missing_database_is_told_at_once),
        TEST(too_many_connections_are_waited_for),
        TEST(the_only_connection_serves_both_lines_in_turn),
        TEST(a_pool_may_be_freed_while_it_opens),
    };
    return cmocka_run_group_tests_name("pg_pool", tests, desk_open, desk_close);
}
