/* Answers of bounded size. */
#include "database_tests.h"
#include "desk.h"
#include "memory_peak.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    MOST_BYTES = 4 << 20,
    /* Many short rows take several times their size; the sanitizers keep what was freed. */
    MOST_KIB = 100 << 10,
};

static struct pg_conn *connect_within(struct desk *desk, int64_t most)
{
    struct pg_conn_options options = desk_options(desk);
    struct pg_conn *conn;
    struct fault fault;
    options.answer_bytes_max = most;
    if (!pg_conn_open_now(desk->base, &options, &conn, &fault))
        fail_msg("%s", fault.text);
    return conn;
}

/* Runs it after another statement; it must be cut off, without taking much memory. */
static void assert_cut(struct desk *desk, const char *text)
{
    struct pg_conn *conn = connect_within(desk, MOST_BYTES);
    struct pg_answer answer;
    memory_peak_reset();
    int64_t before_kib = memory_peak_kib();
    desk_add(desk, "SELECT 1");
    desk_add(desk, text);
    desk_add(desk, "SELECT 2");
    desk_send(desk, conn, &answer);
    assert_string_equal(answer.fault.sqlstate, PG_ANSWER_TOO_LARGE);
    assert_int_equal(answer.fault.kind, FAULT_DATABASE);
    assert_non_null(strstr(answer.fault.text, "larger than 4096 KiB"));
    assert_int_equal(answer.failed, 1);
    assert_true(answer.connection_lost);
    pg_answer_done(&answer);
    assert_true(pg_conn_is_broken(conn));
    pg_conn_close(conn);
    int64_t took_kib = memory_peak_kib() - before_kib;
    if (took_kib > MOST_KIB)
        fail_msg("%s: took %lld KiB", text, (long long)took_kib);
}

static void an_answer_that_is_too_large_is_cut_off(void **state)
{
    struct desk *desk = *state;
    assert_cut(desk, "SELECT generate_series(1, 1000000000)");
    assert_cut(desk, "SELECT repeat('x', 1000), generate_series(1, 1000000000)");
    assert_cut(desk, "SELECT repeat('x', 300000000)");
    assert_cut(desk, "SELECT repeat('x', 5000000)");
    assert_cut(desk, "SELECT repeat('y', 1000000), generate_series(1, 300)");
}

static void a_large_answer_within_the_limit_comes_whole(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = connect_within(desk, MOST_BYTES);
    struct pg_answer answer;
    for (int round = 0; round < 20; round++) {
        desk_add(desk, "SELECT n, repeat(chr(97 + n % 26), n) FROM generate_series(1, 2000) n");
        desk_add(desk, "SELECT repeat('z', 1500000)");
        desk_send(desk, conn, &answer);
        if (answer.fault.kind)
            fail_msg("%s", answer.fault.text);
        assert_int_equal(PQntuples(answer.results[0]), 2000);
        for (int i = 0; i < 2000; i++) {
            const char *value = PQgetvalue(answer.results[0], i, 1);
            assert_int_equal(PQgetlength(answer.results[0], i, 1), i + 1);
            assert_int_equal(strspn(value, (char[]){(char)('a' + (i + 1) % 26), '\0'}), i + 1);
        }
        assert_int_equal(strspn(PQgetvalue(answer.results[1], 0, 0), "z"), 1500000);
        pg_answer_done(&answer);
        assert_true(pg_conn_is_idle(conn));
    }
    pg_conn_close(conn);
}

/* The server answers the first statement while the last are still being sent. */
static void answers_are_bounded_while_statements_are_sent(void **state)
{
    enum { PARAM_BYTES = 600000, N = 10 };
    struct desk *desk = *state;
    struct pg_answer answer;
    char *param = malloc(PARAM_BYTES + 1);
    const char *params[] = {param};
    memset(param, 'p', PARAM_BYTES);
    param[PARAM_BYTES] = '\0';
    for (int times = 1; times <= 200; times += 199) {
        struct pg_conn *conn = connect_within(desk, MOST_BYTES);
        char text[64];
        snprintf(text, sizeof text, "SELECT repeat($1::text, %d)", times);
        memory_peak_reset();
        int64_t before_kib = memory_peak_kib();
        pg_pipeline_add(desk->pipeline, PG_UNNAMED, text, 1, params);
        for (int i = 0; i < N; i++)
            pg_pipeline_add(desk->pipeline, PG_UNNAMED, "SELECT length($1::text)", 1, params);
        desk_send(desk, conn, &answer);
        assert_string_equal(answer.fault.sqlstate, times > 1 ? PG_ANSWER_TOO_LARGE : "");
        if (times == 1)
            assert_string_equal(PQgetvalue(answer.results[0], 0, 0), param);
        pg_answer_done(&answer);
        pg_conn_close(conn);
        assert_true(memory_peak_kib() - before_kib < MOST_KIB);
    }
    free(param);
}

/* The words of a session's end come through the gate like anything else. */
static void an_end_in_the_middle_of_an_answer_is_told(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = connect_within(desk, MOST_BYTES);
    struct pg_answer answer;
    desk_add(desk, "SELECT repeat('x', 500000)");
    desk_add(desk, "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(1)");
    desk_send(desk, conn, &answer);
    assert_true(answer.connection_lost);
    assert_string_equal(answer.fault.sqlstate, "57P01");
    pg_answer_done(&answer);
    pg_conn_close(conn);
}

int pg_gate_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_answer_that_is_too_large_is_cut_off, desk_clear),
        cmocka_unit_test_setup(a_large_answer_within_the_limit_comes_whole, desk_clear),
        cmocka_unit_test_setup(answers_are_bounded_while_statements_are_sent, desk_clear),
        cmocka_unit_test_setup(an_end_in_the_middle_of_an_answer_is_told, desk_clear),
    };
    return cmocka_run_group_tests_name("pg_gate", tests, desk_open, desk_close);
}
