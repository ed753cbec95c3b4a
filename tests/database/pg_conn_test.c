/* Pipelines on a connection that stays up. */
#include "database_tests.h"
#include "desk.h"

#include "allocation.h"
#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void each_statement_has_its_result(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    desk_add(desk, "SELECT 1");
    pg_pipeline_add(desk->pipeline, PG_UNNAMED, "SELECT $1::text, $2::text IS NULL, $3::text", 3,
                    (const char *const[]){"two", NULL, ""});
    desk_add(desk, "CREATE TEMP TABLE t (a int)");
    desk_add(desk, "INSERT INTO t VALUES (1), (2)");
    desk_send(desk, conn, &answer);
    assert_int_equal(answer.fault.kind, FAULT_NONE);
    assert_int_equal(answer.n_results, 4);
    assert_int_equal(answer.failed, -1);
    assert_int_equal(answer.warned, -1);
    assert_false(answer.connection_lost);
    assert_string_equal(PQgetvalue(answer.results[0], 0, 0), "1");
    assert_string_equal(PQgetvalue(answer.results[1], 0, 0), "two");
    assert_string_equal(PQgetvalue(answer.results[1], 0, 1), "t");
    assert_string_equal(PQgetvalue(answer.results[1], 0, 2), "");
    assert_int_equal(PQresultStatus(answer.results[2]), PGRES_COMMAND_OK);
    assert_string_equal(PQcmdTuples(answer.results[3]), "2");
    pg_answer_done(&answer);
    assert_true(pg_conn_is_idle(conn));
    pg_conn_close(conn);
}

/* Even when not one statement found room in it. */
static void a_pipeline_that_lacked_memory_is_refused(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_pipeline *pipeline = pg_pipeline_new();
    struct fault fault = {.kind = FAULT_NONE};
    char value[64];
    assert_non_null(pipeline);
    allocation_fail(ALLOCATION_OF_OURS, 1, 1);
    pg_pipeline_add(pipeline, PG_PREPARED, "SELECT 1", 0, NULL);
    assert_int_equal(allocation_stop(), 1);
    assert_false(pg_conn_send(conn, pipeline, 0, NULL, NULL, &fault));
    assert_int_equal(fault.kind, FAULT_EXHAUSTED);
    pg_pipeline_free(pipeline);
    desk_run(desk, conn, "SELECT 2", value);
    assert_string_equal(value, "2");
    pg_conn_close(conn);
}

static void an_error_in_the_middle_ends_the_pipeline_alone(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    char value[64];
    desk_add(desk, "SELECT 1");
    desk_add(desk, "SELECT 1/(random()*0)::int");
    desk_add(desk, "SELECT 3");
    desk_add(desk, "SELECT no_such_thing");
    desk_send(desk, conn, &answer);
    assert_int_equal(answer.fault.kind, FAULT_DATABASE);
    assert_string_equal(answer.fault.sqlstate, "22012");
    assert_string_equal(answer.fault.text, "division by zero");
    assert_int_equal(answer.failed, 1);
    assert_false(answer.connection_lost);
    assert_int_equal(PQresultStatus(answer.results[0]), PGRES_TUPLES_OK);
    assert_int_equal(PQresultStatus(answer.results[1]), PGRES_FATAL_ERROR);
    assert_int_equal(PQresultStatus(answer.results[2]), PGRES_PIPELINE_ABORTED);
    assert_int_equal(PQresultStatus(answer.results[3]), PGRES_PIPELINE_ABORTED);
    pg_answer_done(&answer);
    assert_true(pg_conn_is_idle(conn));
    desk_run(desk, conn, "SELECT 3", value); /* its Prepare was skipped above: sent again */
    assert_string_equal(value, "3");
    pg_conn_close(conn);
}

/* Without BEGIN the Sync commits: what is deferred fails there, after every statement succeeded. */
static void a_failure_at_the_sync_is_not_overlooked(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    fixture_exec(desk->outsider, "CREATE TABLE late (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
    desk_add(desk, "INSERT INTO late VALUES (1)");
    desk_add(desk, "INSERT INTO late VALUES (1)");
    desk_send(desk, conn, &answer);
    assert_int_equal(answer.fault.kind, FAULT_DATABASE);
    assert_string_equal(answer.fault.sqlstate, "23505");
    assert_int_equal(answer.failed, -1);
    assert_false(answer.connection_lost);
    assert_int_equal(PQresultStatus(answer.results[1]), PGRES_COMMAND_OK);
    pg_answer_done(&answer);
    assert_true(pg_conn_is_idle(conn));
    desk_run(desk, conn, "SELECT 1", NULL);
    pg_conn_close(conn);
}

static void note_answer(struct pg_answer *answer, void *arg)
{
    (void)answer;
    *(bool *)arg = true;
}

/* When the loop comes to it, the whole answer is in: one read takes it, and nothing wakes us again
 * for what is left undrained. */
static void an_answer_that_comes_in_one_piece_is_drained(void **state)
{
    static const char *const texts[][2] = {
        {"SELECT 1", "SELECT 2"},
        {"SELECT 1/0", "SELECT 2"},
        {"INSERT INTO one_piece VALUES (1)", "INSERT INTO one_piece VALUES (1)"},
        {"NOTIFY nobody", "DO $$BEGIN RAISE WARNING 'careful'; END$$"},
    };
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    fixture_exec(desk->outsider,
                 "CREATE TABLE one_piece (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            struct fault fault;
            bool told = false;
            pg_pipeline_clear(desk->pipeline);
            desk_add(desk, texts[i][0]);
            desk_add(desk, texts[i][1]);
            assert_true(pg_conn_send(conn, desk->pipeline, 0, note_answer, &told, &fault));
            usleep(50000);
            desk_loop_until(desk, &told, 2000);
        }
    }
    pg_conn_close(conn);
}

static void a_text_that_does_not_parse_fails_as_its_statement(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    for (int round = 0; round < 2; round++) {
        desk_add(desk, "SELECT 1");
        desk_add(desk, "SELEC 2");
        desk_send(desk, conn, &answer);
        assert_string_equal(answer.fault.sqlstate, "42601");
        assert_int_equal(answer.failed, 1);
        assert_int_equal(PQresultStatus(answer.results[0]), PGRES_TUPLES_OK);
        pg_answer_done(&answer);
    }
    pg_conn_close(conn);
}

static void an_error_tells_detail_and_hint(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    desk_add(desk, "DO $$BEGIN RAISE 'what' USING DETAIL = 'why', HINT = 'how', "
                   "ERRCODE = 'LK001'; END$$");
    desk_send(desk, conn, &answer);
    assert_string_equal(answer.fault.text, "what; why; how");
    assert_string_equal(answer.fault.sqlstate, "LK001");
    pg_answer_done(&answer);
    pg_conn_close(conn);
}

static void a_failed_transaction_leaves_the_connection_not_idle(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    desk_run(desk, conn, "BEGIN", NULL);
    assert_false(pg_conn_is_idle(conn));
    desk_add(desk, "SELECT 1/0");
    desk_send(desk, conn, &answer);
    pg_answer_done(&answer);
    assert_false(pg_conn_is_idle(conn));
    desk_add(desk, "COMMIT");
    desk_send(desk, conn, &answer);
    assert_int_equal(answer.fault.kind, FAULT_NONE);
    assert_string_equal(PQcmdStatus(answer.results[0]), "ROLLBACK");
    pg_answer_done(&answer);
    assert_true(pg_conn_is_idle(conn));
    pg_conn_close(conn);
}

static void a_text_is_prepared_once_and_for_the_schema(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    char value[64];
    for (int i = 0; i < 3; i++) {
        desk_add(desk, "SELECT '@schema_literal@' || @schema_literal@");
        desk_add(desk, "SELECT 1 AS @schema@");
        desk_add(desk, "SELECT 1 AS @schema@");
        pg_pipeline_add(desk->pipeline, PG_UNNAMED, "SELECT '@schema@'", 0, NULL);
        desk_send(desk, conn, &answer);
        assert_int_equal(answer.fault.kind, FAULT_DATABASE); /* the first does not parse */
        pg_answer_done(&answer);
        desk_add(desk, "SELECT @schema_literal@");
        desk_add(desk, "SELECT 1 AS @schema@");
        desk_add(desk, "SELECT 1 AS @schema@");
        pg_pipeline_add(desk->pipeline, PG_UNNAMED, "SELECT '@schema@'", 0, NULL);
        desk_send(desk, conn, &answer);
        assert_int_equal(answer.fault.kind, FAULT_NONE);
        assert_string_equal(PQgetvalue(answer.results[0], 0, 0), "latch \"key's");
        assert_string_equal(PQfname(answer.results[1], 0), "latch \"key's");
        assert_string_equal(PQfname(answer.results[2], 0), "latch \"key's");
        assert_string_equal(PQgetvalue(answer.results[3], 0, 0), "@schema@");
        pg_answer_done(&answer);
    }
    pg_pipeline_add(desk->pipeline, PG_UNNAMED,
                    "SELECT string_agg(statement, ';' ORDER BY length(statement) DESC) FROM "
                    "pg_prepared_statements",
                    0, NULL);
    desk_send(desk, conn, &answer);
    snprintf(value, sizeof value, "%s", PQgetvalue(answer.results[0], 0, 0));
    pg_answer_done(&answer);
    assert_string_equal(value, "SELECT 1 AS \"latch \"\"key's\";SELECT 'latch \"key''s'");
    pg_conn_close(conn);
}

static void unnamed_only_prepares_nothing(void **state)
{
    struct desk *desk = *state;
    struct pg_conn_options options = desk_options(desk);
    struct pg_conn *conn = NULL;
    struct fault fault;
    char value[64];
    options.unnamed_only = true;
    assert_true(pg_conn_open_now(desk->base, &options, &conn, &fault));
    desk_run(desk, conn, "SELECT @schema_literal@", value);
    assert_string_equal(value, "latch \"key's");
    desk_run(desk, conn, "SELECT count(*) FROM pg_prepared_statements", value);
    assert_string_equal(value, "0");
    pg_conn_close(conn);
}

/* Both directions are far larger than any socket buffer, so that a client that only writes, or a
 * server that only writes, would stand still. */
static void megabytes_both_ways_do_not_stand_still(void **state)
{
    enum {
        N = 200,
        BYTES = 100000,
    };
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    char *big = malloc(BYTES + 1);
    memset(big, 'x', BYTES);
    big[BYTES] = '\0';
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) {
            big[0] = (char)('a' + i % 26);
            pg_pipeline_add(desk->pipeline, PG_PREPARED, "SELECT $1::text || $1::text", 1,
                            (const char *const[]){big});
        }
        desk_send(desk, conn, &answer);
        assert_int_equal(answer.fault.kind, FAULT_NONE);
        for (int i = 0; i < N; i++) {
            assert_int_equal(PQgetlength(answer.results[i], 0, 0), 2 * BYTES);
            assert_int_equal(PQgetvalue(answer.results[i], 0, 0)[BYTES], 'a' + i % 26);
        }
        pg_answer_done(&answer);
    }
    free(big);
    pg_conn_close(conn);
}

static void thousands_of_statements_are_one_pipeline(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    char number[16];
    for (int i = 0; i < 5000; i++) {
        snprintf(number, sizeof number, "%d", i);
        pg_pipeline_add(desk->pipeline, PG_PREPARED, "SELECT $1::int + 1", 1,
                        (const char *const[]){number});
    }
    desk_send(desk, conn, &answer);
    assert_int_equal(answer.fault.kind, FAULT_NONE);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(atoi(PQgetvalue(answer.results[i], 0, 0)), i + 1);
    pg_answer_done(&answer);
    pg_conn_close(conn);
}

static void a_warning_names_its_statement(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    desk_add(desk, "DO $$BEGIN RAISE NOTICE 'no warning'; END$$");
    desk_add(desk, "DO $$BEGIN RAISE WARNING 'careful'; END$$");
    desk_add(desk, "SELECT 1");
    desk_send(desk, conn, &answer);
    assert_int_equal(answer.fault.kind, FAULT_NONE);
    assert_int_equal(answer.warned, 1);
    pg_answer_done(&answer);
    desk_add(desk, "SELECT 1");
    desk_add(desk, "DO $$BEGIN RAISE NOTICE 'no warning'; END$$");
    desk_send(desk, conn, &answer);
    assert_int_equal(answer.warned, -1);
    pg_answer_done(&answer);
    desk_add(desk, "SELECT 1");
    desk_add(desk, "COMMIT"); /* there is no transaction: a WARNING */
    desk_send(desk, conn, &answer);
    assert_int_equal(answer.warned, 1);
    pg_answer_done(&answer);
    pg_conn_close(conn);
}

struct chain {
    struct desk *desk;
    struct pg_conn *conn;
    int n_answers;
    bool sending;
    bool finished;
};

static void send_next(struct chain *chain);

static void on_link(struct pg_answer *answer, void *arg)
{
    struct chain *chain = arg;
    assert_false(chain->sending); /* never before the send has returned */
    assert_int_equal(answer->fault.kind, FAULT_NONE);
    assert_int_equal(atoi(PQgetvalue(answer->results[0], 0, 0)), chain->n_answers);
    if (++chain->n_answers == 50)
        chain->finished = true;
    else
        send_next(chain);
}

static void send_next(struct chain *chain)
{
    struct fault fault;
    char number[16];
    snprintf(number, sizeof number, "%d", chain->n_answers);
    pg_pipeline_clear(chain->desk->pipeline);
    pg_pipeline_add(chain->desk->pipeline, PG_PREPARED, "SELECT $1::int", 1,
                    (const char *const[]){number});
    chain->sending = true;
    assert_true(pg_conn_send(chain->conn, chain->desk->pipeline, 1000000, on_link, chain, &fault));
    chain->sending = false;
}

static void done_may_send_the_next_pipeline(void **state)
{
    struct chain chain = {.desk = *state, .conn = desk_connect(*state)};
    send_next(&chain);
    desk_loop_until(chain.desk, &chain.finished, 10000);
    pg_conn_close(chain.conn);
}

struct closing {
    struct pg_conn *conn;
    bool happened;
};

static void close_in_answer(struct pg_answer *answer, void *arg)
{
    struct closing *closing = arg;
    pg_conn_close(closing->conn);
    closing->happened = true;
    assert_string_equal(PQgetvalue(answer->results[0], 0, 0), "1"); /* still there */
}

static void done_may_close_the_connection(void **state)
{
    struct desk *desk = *state;
    struct closing closing = {.conn = desk_connect(desk)};
    struct fault fault;
    desk_add(desk, "SELECT 1");
    assert_true(
        pg_conn_send(closing.conn, desk->pipeline, 1000000, close_in_answer, &closing, &fault));
    desk_loop_until(desk, &closing.happened, 5000);
    desk_loop_for(desk, 20);
}

static void never_called(struct pg_answer *answer, void *arg)
{
    (void)answer;
    (void)arg;
    fail_msg("a closed connection called its done");
}

static void a_closed_connection_calls_nobody(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct fault fault;
    desk_add(desk, "SELECT 1");
    assert_true(pg_conn_send(conn, desk->pipeline, 1000, never_called, NULL, &fault));
    pg_conn_close(conn);
    desk_loop_for(desk, 50);
    pg_conn_close(NULL);
}

static void kept_results_outlive_the_answer(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    struct fault fault;
    desk_add(desk, "SELECT 42");
    assert_true(pg_conn_call(desk->base, conn, desk->pipeline, 0, &answer, &fault));
    PGresult *kept = answer.results[0];
    answer.results[0] = NULL;
    pg_answer_done(&answer);
    pg_conn_close(conn);
    assert_string_equal(PQgetvalue(kept, 0, 0), "42");
    PQclear(kept);
}

struct heard {
    struct pg_conn *conn;
    char said[4][64];
    int n;
    bool any;
    bool close;
};

static void on_notify(const char *channel, const char *payload, void *arg)
{
    struct heard *heard = arg;
    if (heard->n < 4)
        snprintf(heard->said[heard->n], 64, "%s:%s", channel, payload);
    heard->n++;
    heard->any = true;
    if (heard->close)
        pg_conn_close(heard->conn);
}

static void notifications_are_heard_while_idle_and_after_an_answer(void **state)
{
    struct desk *desk = *state;
    struct heard heard = {.conn = desk_connect(desk)};
    pg_conn_on_notify(heard.conn, on_notify, &heard);
    desk_run(desk, heard.conn, "LISTEN news", NULL);
    fixture_exec(desk->outsider, "NOTIFY news, 'idle'");
    desk_loop_until(desk, &heard.any, 5000);
    assert_string_equal(heard.said[0], "news:idle");
    desk_run(desk, heard.conn, "NOTIFY news, 'own'", NULL);
    desk_loop_for(desk, 50);
    assert_int_equal(heard.n, 2);
    assert_string_equal(heard.said[1], "news:own");
    pg_conn_on_notify(heard.conn, NULL, NULL);
    fixture_exec(desk->outsider, "NOTIFY news, 'unheard'");
    desk_loop_for(desk, 50);
    assert_int_equal(heard.n, 2);
    pg_conn_close(heard.conn);
}

static void a_notification_may_close_the_connection(void **state)
{
    struct desk *desk = *state;
    for (int own = 0; own < 2; own++) {
        struct heard heard = {.conn = desk_connect(desk), .close = true};
        pg_conn_on_notify(heard.conn, on_notify, &heard);
        desk_run(desk, heard.conn, "LISTEN news", NULL);
        if (own)
            desk_run(desk, heard.conn, "NOTIFY news, 'last'", NULL);
        else
            fixture_exec(desk->outsider, "NOTIFY news, 'a'; NOTIFY news, 'b'");
        if (!heard.any)
            desk_loop_until(desk, &heard.any, 5000);
        assert_int_equal(heard.n, 1);
    }
}

static void a_plan_that_no_longer_fits_wears_the_connection_out(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    fixture_exec(desk->outsider, "CREATE TABLE worn (a int)");
    desk_run(desk, conn, "SELECT * FROM worn", NULL);
    fixture_exec(desk->outsider, "ALTER TABLE worn ADD b int");
    desk_add(desk, "SELECT * FROM worn");
    desk_send(desk, conn, &answer);
    assert_string_equal(answer.fault.sqlstate, "0A000");
    pg_answer_done(&answer);
    assert_false(pg_conn_is_idle(conn)); /* so that no pool gives it out again */
    assert_false(pg_conn_is_broken(conn));
    pg_conn_close(conn);
}

static void a_script_runs_several_statements_as_one(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct fault fault;
    char value[64];
    assert_true(pg_conn_run_script(conn,
                                   "CREATE SCHEMA @schema@; CREATE TABLE @schema@.s (a int);"
                                   "INSERT INTO @schema@.s VALUES (1), (2)",
                                   &fault));
    assert_true(pg_conn_is_idle(conn));
    desk_run(desk, conn, "SELECT count(*) FROM @schema@.s", value);
    assert_string_equal(value, "2");
    assert_false(pg_conn_run_script(conn, "INSERT INTO @schema@.s VALUES (3); SELECT 1/0", &fault));
    assert_string_equal(fault.sqlstate, "22012");
    desk_run(desk, conn, "SELECT count(*) FROM @schema@.s", value);
    assert_string_equal(value, "2");
    desk_run(desk, conn, "SELECT 1", value);
    pg_conn_close(conn);
}

static void a_connection_knows_its_server(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    char value[64];
    desk_run(desk, conn, "SELECT pg_backend_pid()", value);
    assert_int_equal(atoi(value), pg_conn_backend_pid(conn));
    desk_run(desk, conn, "SHOW server_version_num", value);
    assert_int_equal(atoi(value), pg_conn_server_version(conn));
    desk_run(desk, conn, "SHOW application_name", value);
    assert_string_equal(value, "desk");
    desk_run(desk, conn, "SHOW client_encoding", value);
    assert_string_equal(value, "UTF8");
    pg_conn_close(conn);
}

#define TEST(name) cmocka_unit_test_setup(name, desk_clear)

int pg_conn_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_statement_has_its_result),
        TEST(a_pipeline_that_lacked_memory_is_refused),
        TEST(an_error_in_the_middle_ends_the_pipeline_alone),
        TEST(a_failure_at_the_sync_is_not_overlooked),
        TEST(an_answer_that_comes_in_one_piece_is_drained),
        TEST(a_text_that_does_not_parse_fails_as_its_statement),
        TEST(an_error_tells_detail_and_hint),
        TEST(a_failed_transaction_leaves_the_connection_not_idle),
        TEST(a_text_is_prepared_once_and_for_the_schema),
        TEST(unnamed_only_prepares_nothing),
        TEST(megabytes_both_ways_do_not_stand_still),
        TEST(thousands_of_statements_are_one_pipeline),
        TEST(a_warning_names_its_statement),
        TEST(done_may_send_the_next_pipeline),
        TEST(done_may_close_the_connection),
        TEST(a_closed_connection_calls_nobody),
        TEST(kept_results_outlive_the_answer),
        TEST(notifications_are_heard_while_idle_and_after_an_answer),
        TEST(a_notification_may_close_the_connection),
        TEST(a_plan_that_no_longer_fits_wears_the_connection_out),
        TEST(a_script_runs_several_statements_as_one),
        TEST(a_connection_knows_its_server),
    };
    return cmocka_run_group_tests_name("pg_conn", tests, desk_open, desk_close);
}
