/* The proxy of the tests, and what a connection makes of lost answers. */
#include "database_tests.h"
#include "desk.h"

#include "clock.h"
#include "pg_pool.h"
#include "pg_proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct bench {
    struct desk *desk;
    struct pg_proxy *proxy;
};

static int set_up(void **state)
{
    static struct bench bench;
    struct fault fault;
    void *desk = NULL;
    if (desk_open(&desk) != 0)
        return 1;
    bench.desk = desk;
    *state = &bench;
    fixture_exec(bench.desk->outsider, "CREATE TABLE kept (a int)");
    if (pg_proxy_start(bench.desk->conninfo, &bench.proxy, &fault))
        return 0;
    print_error("%s\n", fault.text);
    return 1;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    void *desk = bench->desk;
    pg_proxy_stop(bench->proxy);
    return desk_close(&desk);
}

static int clear(void **state)
{
    struct bench *bench = *state;
    fixture_exec(bench->desk->outsider, "TRUNCATE kept");
    pg_proxy_strike(bench->proxy, PG_PROXY_CUT_BEFORE_COMMIT, 0, 0);
    pg_pipeline_clear(bench->desk->pipeline);
    return 0;
}

static struct pg_conn *connect_through(struct bench *bench, bool unnamed_only)
{
    struct pg_conn_options options = desk_options(bench->desk);
    struct pg_conn *conn = NULL;
    struct fault fault;
    options.conninfo = pg_proxy_conninfo(bench->proxy);
    options.unnamed_only = unnamed_only;
    if (!pg_conn_open_now(bench->desk->base, &options, &conn, &fault))
        fail_msg("%s", fault.text);
    return conn;
}

static void write_and_commit(struct bench *bench, struct pg_conn *conn, struct pg_answer *out)
{
    desk_add(bench->desk, "BEGIN");
    desk_add(bench->desk, "INSERT INTO kept VALUES (1)");
    desk_add(bench->desk, "COMMIT");
    desk_send_within(bench->desk, conn, 2000000, out);
}

static void commit_is_fine(struct bench *bench, struct pg_conn *conn)
{
    struct pg_answer answer;
    write_and_commit(bench, conn, &answer);
    if (answer.fault.kind)
        fail_msg("%s", answer.fault.text);
    assert_string_equal(PQcmdStatus(answer.results[2]), "COMMIT");
    pg_answer_done(&answer);
}

static void commit_is_lost(struct bench *bench, struct pg_conn *conn)
{
    struct pg_answer answer;
    write_and_commit(bench, conn, &answer);
    assert_true(answer.connection_lost);
    assert_false(answer.nothing_sent);
    assert_int_equal(answer.fault.kind, FAULT_DATABASE);
    assert_null(answer.results[2]);
    pg_answer_done(&answer);
    assert_true(pg_conn_is_broken(conn));
}

/* The dead session may still be on its way out. */
static void rows_are(struct bench *bench, int n)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT (SELECT count(*) FROM kept) = %d AND NOT EXISTS (SELECT FROM pg_locks"
             " WHERE relation = 'kept'::regclass AND pid <> pg_backend_pid())",
             n);
    fixture_eventually_true(bench->desk->outsider, sql, 5000);
}

static void without_orders_everything_passes(void **state)
{
    struct bench *bench = *state;
    struct pg_conn *conn = connect_through(bench, false);
    struct pg_answer answer;
    int n_commits = pg_proxy_n_commits(bench->proxy);
    size_t n_bytes = 5000000;
    char *big = malloc(n_bytes + 1);
    memset(big, 'x', n_bytes);
    big[n_bytes] = '\0';
    for (int i = 0; i < 3; i++)
        commit_is_fine(bench, conn);
    assert_int_equal(pg_proxy_n_commits(bench->proxy), n_commits + 3);
    for (int i = 0; i < 4; i++)
        pg_pipeline_add(bench->desk->pipeline, PG_PREPARED, "SELECT $1::text", 1,
                        (const char *const[]){big});
    free(big);
    desk_send(bench->desk, conn, &answer);
    assert_int_equal(answer.fault.kind, FAULT_NONE);
    assert_int_equal(PQgetlength(answer.results[3], 0, 0), n_bytes);
    pg_answer_done(&answer);
    pg_conn_close(conn);
    rows_are(bench, 3);
}

static void a_cut_before_commit_rolls_back(void **state)
{
    struct bench *bench = *state;
    for (int unnamed = 0; unnamed < 2; unnamed++) {
        struct pg_conn *conn = connect_through(bench, unnamed);
        pg_proxy_strike(bench->proxy, PG_PROXY_CUT_BEFORE_COMMIT, 1, 1);
        commit_is_fine(bench, conn);
        commit_is_lost(bench, conn);
        assert_int_equal(pg_proxy_n_struck(bench->proxy), 1);
        pg_conn_close(conn);
        rows_are(bench, unnamed + 1);
    }
}

static void a_cut_after_commit_loses_the_answer_alone(void **state)
{
    struct bench *bench = *state;
    for (int unnamed = 0; unnamed < 2; unnamed++) {
        struct pg_conn *conn = connect_through(bench, unnamed);
        pg_proxy_strike(bench->proxy, PG_PROXY_CUT_AFTER_COMMIT, 1, 1);
        commit_is_fine(bench, conn);
        commit_is_lost(bench, conn);
        assert_int_equal(pg_proxy_n_struck(bench->proxy), 1);
        pg_conn_close(conn);
        rows_are(bench, 2 * unnamed + 2);
    }
}

static void a_strike_happens_as_often_as_ordered(void **state)
{
    struct bench *bench = *state;
    pg_proxy_strike(bench->proxy, PG_PROXY_CUT_AFTER_COMMIT, 0, 2);
    for (int i = 0; i < 2; i++) {
        struct pg_conn *conn = connect_through(bench, false);
        commit_is_lost(bench, conn);
        pg_conn_close(conn);
    }
    struct pg_conn *conn = connect_through(bench, false);
    commit_is_fine(bench, conn);
    pg_conn_close(conn);
    assert_int_equal(pg_proxy_n_struck(bench->proxy), 2);
    rows_are(bench, 3);
}

struct sent {
    bool told;
    struct fault fault;
};

static void on_answer(struct pg_answer *answer, void *arg)
{
    struct sent *sent = arg;
    sent->told = true;
    sent->fault = answer->fault;
}

static void send_commit(struct bench *bench, struct pg_conn *conn, struct sent *sent)
{
    struct fault fault;
    *sent = (struct sent){.told = false};
    pg_pipeline_clear(bench->desk->pipeline);
    desk_add(bench->desk, "BEGIN");
    desk_add(bench->desk, "INSERT INTO kept VALUES (1)");
    desk_add(bench->desk, "COMMIT");
    assert_true(pg_conn_send(conn, bench->desk->pipeline, 0, on_answer, sent, &fault));
    pg_pipeline_clear(bench->desk->pipeline);
    desk_loop_for(bench->desk, 150);
    assert_false(sent->told);
    assert_int_equal(pg_proxy_n_struck(bench->proxy), 1);
}

static void what_is_held_goes_on_after_the_thaw(void **state)
{
    static const struct {
        enum pg_proxy_strike strike;
        int n_rows_while_held;
    } cases[] = {
        {PG_PROXY_HOLD_BEFORE_COMMIT, 0},
        {PG_PROXY_HOLD_AFTER_COMMIT, 1},
        {PG_PROXY_HOLD_BEFORE_SYNC, 1},
    };
    struct bench *bench = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pg_conn *conn = connect_through(bench, false);
        struct sent sent;
        clear(state);
        pg_proxy_strike(bench->proxy, cases[i].strike, 0, 1);
        send_commit(bench, conn, &sent);
        assert_int_equal(fixture_int(bench->desk->outsider, "SELECT count(*) FROM kept"),
                         cases[i].n_rows_while_held);
        pg_proxy_thaw(bench->proxy);
        desk_loop_until(bench->desk, &sent.told, 5000);
        assert_int_equal(sent.fault.kind, FAULT_NONE);
        commit_is_fine(bench, conn);
        pg_conn_close(conn);
        rows_are(bench, 2);
    }
}

/* A client frozen inside its pipeline is what no timeout of PostgreSQL below 17 ends. */
static void before_its_sync_a_server_is_active_and_reads(void **state)
{
    struct bench *bench = *state;
    struct pg_conn *conn = connect_through(bench, false);
    struct sent sent;
    struct fault fault;
    char sql[256];
    pg_proxy_strike(bench->proxy, PG_PROXY_HOLD_BEFORE_SYNC, 0, 1);
    desk_add(bench->desk, "BEGIN");
    desk_add(bench->desk, "INSERT INTO kept VALUES (1)");
    sent = (struct sent){.told = false};
    assert_true(pg_conn_send(conn, bench->desk->pipeline, 0, on_answer, &sent, &fault));
    snprintf(sql, sizeof sql,
             "SELECT count(*) = 1 FROM pg_stat_activity"
             " WHERE pid = %d AND state = 'active' AND wait_event = 'ClientRead'",
             pg_conn_backend_pid(conn));
    desk_loop_for(bench->desk, 20);
    fixture_eventually_true(bench->desk->outsider, sql, 5000);
    fixture_execf(bench->desk->outsider, "SELECT pg_terminate_backend(%d)",
                  pg_conn_backend_pid(conn));
    pg_proxy_thaw(bench->proxy);
    desk_loop_until(bench->desk, &sent.told, 5000);
    assert_string_equal(sent.fault.sqlstate, "57P01");
    pg_conn_close(conn);
    rows_are(bench, 0);
}

static void a_frozen_connection_ends_by_the_clients_time_limit(void **state)
{
    struct bench *bench = *state;
    struct pg_conn *conn = connect_through(bench, false);
    struct pg_answer answer;
    pg_proxy_freeze(bench->proxy);
    desk_add(bench->desk, "SELECT 1");
    desk_send_within(bench->desk, conn, 200000, &answer);
    assert_true(answer.connection_lost);
    pg_answer_done(&answer);
    pg_conn_close(conn);
    pg_proxy_thaw(bench->proxy);
}

static void a_cut_before_sync_keeps_no_unfinished_transaction(void **state)
{
    struct bench *bench = *state;
    struct pg_conn *conn = connect_through(bench, false);
    struct pg_answer answer;
    pg_proxy_strike(bench->proxy, PG_PROXY_CUT_BEFORE_SYNC, 0, 1);
    desk_add(bench->desk, "BEGIN");
    desk_add(bench->desk, "INSERT INTO kept VALUES (1)");
    desk_send(bench->desk, conn, &answer);
    assert_true(answer.connection_lost);
    pg_answer_done(&answer);
    pg_conn_close(conn);
    rows_are(bench, 0);
}

struct taken {
    struct pg_conn *conn;
    bool told;
};

static void on_taken(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct taken *taken = arg;
    (void)fault;
    taken->conn = conn;
    taken->told = true;
}

static void a_pool_waits_for_a_database_that_is_away(void **state)
{
    struct bench *bench = *state;
    struct pg_pool_options options = {.conn = desk_options(bench->desk), .max_connections = 3};
    struct pg_pool *pool = NULL;
    struct pg_request *request = NULL;
    struct taken taken = {.told = false};
    struct fault fault;
    options.conn.conninfo = pg_proxy_conninfo(bench->proxy);
    assert_true(pg_pool_new(bench->desk->base, &options, &pool, &fault));
    for (int round = 0; round < 3; round++) {
        pg_proxy_set_away(bench->proxy, true);
        pg_proxy_cut(bench->proxy); /* the pool's idle connection too */
        desk_loop_for(bench->desk, 50);
        taken = (struct taken){.told = false};
        assert_true(
            pg_pool_take(pool, PG_POOL_ORDINARY, 10000000, on_taken, &taken, &request, &fault));
        desk_loop_for(bench->desk, 200);
        assert_false(taken.told);
        pg_proxy_set_away(bench->proxy, false);
        desk_loop_until(bench->desk, &taken.told, 5000);
        assert_non_null(taken.conn);
        desk_run(bench->desk, taken.conn, "SELECT 1", NULL);
        pg_pool_give(pool, taken.conn);
    }
    pg_pool_free(pool);
}

/* Whichever statement it is, prepared or not: the transaction ends as after an error of its own. */
static void a_statement_fails_as_ordered(void **state)
{
    struct bench *bench = *state;
    for (int unnamed = 0; unnamed < 2; unnamed++) {
        struct pg_conn *conn = connect_through(bench, unnamed);
        commit_is_fine(bench, conn);
        for (int i = 0; i < 3; i++) {
            struct pg_answer answer;
            pg_proxy_fail_statement(bench->proxy, "40001", i);
            write_and_commit(bench, conn, &answer);
            assert_false(answer.connection_lost);
            assert_string_equal(answer.fault.sqlstate, "40001");
            assert_int_equal(answer.failed, i);
            assert_int_equal(pg_proxy_n_struck(bench->proxy), 1);
            pg_answer_done(&answer);
            if (pg_conn_is_idle(conn)) /* nothing had begun */
                continue;
            desk_add(bench->desk, "ROLLBACK");
            desk_send(bench->desk, conn, &answer);
            pg_answer_done(&answer);
        }
        commit_is_fine(bench, conn);
        pg_conn_close(conn);
        rows_are(bench, 2 * (unnamed + 1));
    }
}

static void a_server_that_shuts_down_says_so(void **state)
{
    struct bench *bench = *state;
    struct pg_conn *conn = connect_through(bench, false);
    struct pg_answer answer;
    pg_proxy_fail_statement(bench->proxy, "57P01", 1);
    write_and_commit(bench, conn, &answer);
    assert_true(answer.connection_lost);
    assert_string_equal(answer.fault.sqlstate, "57P01");
    pg_answer_done(&answer);
    pg_conn_close(conn);
    rows_are(bench, 0);
}

/* The last message before the answer is whole is the end of the server's turn. */
static void a_cut_before_an_answer_loses_it(void **state)
{
    struct bench *bench = *state;
    int n_kept = 0;
    int i = 0;
    for (; i < 100; i++) {
        struct pg_conn *conn = connect_through(bench, true);
        struct pg_answer answer;
        pg_proxy_strike(bench->proxy, PG_PROXY_CUT_BEFORE_ANSWER, i, 1);
        write_and_commit(bench, conn, &answer);
        bool struck = pg_proxy_n_struck(bench->proxy) == 1;
        assert_int_equal(answer.connection_lost, struck);
        pg_proxy_strike(bench->proxy, PG_PROXY_CUT_BEFORE_ANSWER, 0, 0);
        pg_answer_done(&answer);
        pg_conn_close(conn);
        n_kept++; /* one Sync for all: the server had committed before it said anything */
        if (!struck)
            break;
    }
    assert_in_range(i, 6, 99);
    rows_are(bench, n_kept);
}

#define TEST(name) cmocka_unit_test_setup(name, clear)

int pg_proxy_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_orders_everything_passes),
        TEST(a_cut_before_commit_rolls_back),
        TEST(a_cut_after_commit_loses_the_answer_alone),
        TEST(a_strike_happens_as_often_as_ordered),
        TEST(what_is_held_goes_on_after_the_thaw),
        TEST(before_its_sync_a_server_is_active_and_reads),
        TEST(a_frozen_connection_ends_by_the_clients_time_limit),
        TEST(a_cut_before_sync_keeps_no_unfinished_transaction),
        TEST(a_statement_fails_as_ordered),
        TEST(a_server_that_shuts_down_says_so),
        TEST(a_cut_before_an_answer_loses_it),
        TEST(a_pool_waits_for_a_database_that_is_away),
    };
    return cmocka_run_group_tests_name("pg_proxy", tests, set_up, tear_down);
}
