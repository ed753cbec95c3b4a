/* Connections that cannot be made, and those that break. */
#include "database_tests.h"
#include "desk.h"

#include "clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static void terminate(struct desk *desk, const struct pg_conn *conn)
{
    fixture_execf(desk->outsider, "SELECT pg_terminate_backend(%d)", pg_conn_backend_pid(conn));
}

static void wait_until_gone(struct desk *desk, int pid)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %d)",
             pid);
    fixture_eventually_true(desk->outsider, sql, 5000);
}

static void a_terminated_statement_is_lost_with_the_servers_words(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    char text[128];
    snprintf(text, sizeof text, "SELECT pg_terminate_backend(%d), pg_sleep(10)",
             pg_conn_backend_pid(conn));
    desk_add(desk, "SELECT 1");
    pg_pipeline_add(desk->pipeline, PG_UNNAMED, text, 0, NULL);
    desk_add(desk, "SELECT 2");
    desk_send(desk, conn, &answer);
    assert_int_equal(answer.fault.kind, FAULT_DATABASE);
    assert_string_equal(answer.fault.sqlstate, "57P01");
    assert_true(answer.connection_lost);
    assert_false(answer.nothing_sent);
    assert_int_equal(answer.failed, -1);
    pg_answer_done(&answer);
    assert_true(pg_conn_is_broken(conn));
    assert_false(pg_conn_is_idle(conn));
    pg_conn_close(conn);
}

static void an_idle_connection_that_was_ended_says_so_and_sends_nothing(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    desk_run(desk, conn, "SELECT 1", NULL);
    terminate(desk, conn);
    desk_loop_for(desk, 100);
    assert_true(pg_conn_is_broken(conn));
    desk_add(desk, "SELECT 1");
    desk_send(desk, conn, &answer);
    assert_string_equal(answer.fault.sqlstate, "57P01");
    assert_true(answer.connection_lost);
    assert_true(answer.nothing_sent);
    pg_answer_done(&answer);
    pg_conn_close(conn);
}

static void idling_too_long_in_a_transaction_is_told_as_such(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    desk_add(desk, "BEGIN");
    desk_add(desk, "SET LOCAL idle_in_transaction_session_timeout = 30");
    desk_send(desk, conn, &answer);
    pg_answer_done(&answer);
    desk_loop_for(desk, 150);
    desk_add(desk, "COMMIT");
    desk_send(desk, conn, &answer);
    assert_string_equal(answer.fault.sqlstate, "25P03");
    assert_true(answer.connection_lost);
    assert_true(answer.nothing_sent);
    pg_answer_done(&answer);
    pg_conn_close(conn);
}

/* The client was frozen: the server's last words and its end are in the socket, unread, when the
 * next pipeline is sent. */
static void a_thawed_client_still_reads_the_last_words(void **state)
{
    static const size_t sizes[] = {10, 100000, 3000000};
    struct desk *desk = *state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct pg_conn *conn = desk_connect(desk);
        struct pg_answer answer;
        char *big = malloc(sizes[i] + 1);
        memset(big, 'x', sizes[i]);
        big[sizes[i]] = '\0';
        desk_add(desk, "BEGIN");
        desk_add(desk, "SET LOCAL idle_in_transaction_session_timeout = 30");
        desk_send(desk, conn, &answer);
        pg_answer_done(&answer);
        wait_until_gone(desk, pg_conn_backend_pid(conn));
        pg_pipeline_add(desk->pipeline, PG_PREPARED, "SELECT $1::text", 1,
                        (const char *const[]){big});
        desk_add(desk, "COMMIT");
        desk_send(desk, conn, &answer);
        free(big);
        assert_true(answer.connection_lost);
        assert_string_equal(answer.fault.sqlstate, "25P03");
        assert_int_equal(answer.failed, -1);
        pg_answer_done(&answer);
        pg_conn_close(conn);
    }
}

/* Its socket is closed too. */
static void wait_until_exited(struct desk *desk, int pid)
{
    wait_until_gone(desk, pid);
    while (kill(pid, 0) == 0)
        usleep(1000);
}

static bool next_send_would_block;

/* libpq's: the executable's own is found before the library's. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the header's are reserved */
__attribute__((visibility("default"))) ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
    if (next_send_would_block) {
        next_send_would_block = false;
        errno = EAGAIN;
        return -1;
    }
    return syscall(SYS_sendto, fd, bytes, n, flags, NULL, 0);
}

/* libpq reads when it cannot send, and so has the last words in hand, unread by us, when the next
 * attempt to send fails. */
static void last_words_read_while_sending_are_heard(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    char big[20000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    desk_add(desk, "BEGIN");
    desk_add(desk, "SET LOCAL idle_in_transaction_session_timeout = 30");
    desk_send(desk, conn, &answer);
    pg_answer_done(&answer);
    wait_until_exited(desk, pg_conn_backend_pid(conn));
    pg_pipeline_add(desk->pipeline, PG_PREPARED, "SELECT $1::text", 1, (const char *const[]){big});
    desk_add(desk, "COMMIT");
    next_send_would_block = true;
    desk_send(desk, conn, &answer);
    assert_false(next_send_would_block);
    assert_true(answer.connection_lost);
    assert_string_equal(answer.fault.sqlstate, "25P03");
    assert_int_equal(answer.failed, -1);
    pg_answer_done(&answer);
    pg_conn_close(conn);
}

static void a_time_limit_breaks_the_connection(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    int64_t started_us = clock_monotonic_us();
    desk_add(desk, "SELECT pg_sleep(10)");
    desk_send_within(desk, conn, 100000, &answer);
    assert_in_range(clock_monotonic_us() - started_us, 90000, 9000000);
    assert_int_equal(answer.fault.kind, FAULT_DATABASE);
    assert_string_equal(answer.fault.text, "no answer from the database within the time allowed");
    assert_true(answer.connection_lost);
    assert_false(answer.nothing_sent);
    pg_answer_done(&answer);
    assert_true(pg_conn_is_broken(conn));
    pg_conn_close(conn);
}

static void a_time_limit_that_was_kept_does_no_harm(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct pg_answer answer;
    desk_add(desk, "SELECT 1");
    desk_send_within(desk, conn, 50000, &answer);
    assert_int_equal(answer.fault.kind, FAULT_NONE);
    pg_answer_done(&answer);
    desk_loop_for(desk, 100);
    desk_run(desk, conn, "SELECT 1", NULL);
    pg_conn_close(conn);
}

static void close_in_answer(struct pg_answer *answer, void *arg)
{
    struct pg_conn **conn = arg;
    assert_true(answer->connection_lost);
    pg_conn_close(*conn);
    *conn = NULL;
}

static void done_may_close_a_lost_connection(void **state)
{
    struct desk *desk = *state;
    struct fault fault;
    for (int broken_before = 0; broken_before < 2; broken_before++) {
        struct pg_conn *conn = desk_connect(desk);
        pg_pipeline_clear(desk->pipeline);
        desk_add(desk, "SELECT pg_sleep(10)");
        terminate(desk, conn);
        if (broken_before)
            desk_loop_for(desk, 100);
        assert_true(pg_conn_send(conn, desk->pipeline, 0, close_in_answer, &conn, &fault));
        assert_non_null(conn);
        for (int i = 0; conn && i < 100; i++)
            desk_loop_for(desk, 20);
        assert_null(conn);
    }
}

static void a_broken_script_breaks_the_connection(void **state)
{
    struct desk *desk = *state;
    struct pg_conn *conn = desk_connect(desk);
    struct fault fault;
    assert_false(pg_conn_run_script(conn, "SELECT pg_terminate_backend(pg_backend_pid())", &fault));
    assert_string_equal(fault.sqlstate, "57P01");
    assert_true(pg_conn_is_broken(conn));
    desk_loop_for(desk, 20);
    pg_conn_close(conn);
}

/* ---- connecting ---- */

static void connecting_fails(struct desk *desk, const char *conninfo, int64_t timeout_us,
                             struct fault *fault)
{
    struct pg_conn_options options = desk_options(desk);
    struct pg_conn *conn = NULL;
    options.conninfo = conninfo;
    options.connect_timeout_us = timeout_us;
    assert_false(pg_conn_open_now(desk->base, &options, &conn, fault));
    assert_null(conn);
}

static void the_servers_refusal_has_its_sqlstate(void **state)
{
    struct desk *desk = *state;
    struct fault fault;
    char conninfo[2 * FIXTURE_CONNINFO_BYTES];
    snprintf(conninfo, sizeof conninfo, "%s dbname=no_such_database", desk->conninfo);
    connecting_fails(desk, conninfo, 5000000, &fault);
    assert_string_equal(fault.sqlstate, "3D000");
    assert_non_null(strstr(fault.text, "database \"no_such_database\" does not exist"));
    assert_null(strstr(fault.text, "3D000"));
    assert_null(strstr(fault.text, "LOCATION"));
    assert_true(pg_fault_is_final(&fault));
    snprintf(conninfo, sizeof conninfo, "%s options='-c no_such=1'", desk->conninfo);
    connecting_fails(desk, conninfo, 5000000, &fault);
    assert_string_equal(fault.sqlstate, "42704");
    assert_true(pg_fault_is_final(&fault));
}

static void a_port_without_a_server_is_refused(void **state)
{
    struct desk *desk = *state;
    struct fault fault;
    connecting_fails(desk, "host=127.0.0.1 port=1 dbname=x", 5000000, &fault);
    assert_int_equal(fault.kind, FAULT_DATABASE);
    assert_non_null(strstr(fault.text, "Connection refused"));
    assert_false(pg_fault_is_final(&fault));
    connecting_fails(desk, "host=/no/such/directory dbname=x", 5000000, &fault);
    assert_non_null(strstr(fault.text, "No such file"));
    assert_false(pg_fault_is_final(&fault));
}

static void an_unreadable_conninfo_is_invalid(void **state)
{
    static const char *const texts[] = {"host=",
                                        "ho st=x",
                                        "nothing=1",
                                        "postgresql://[::1",
                                        "dbname=x sslmode=maybe",
                                        "dbname=x port=none"};
    struct desk *desk = *state;
    struct fault fault;
    for (size_t i = 1; i < sizeof texts / sizeof *texts; i++) {
        connecting_fails(desk, texts[i], 1000000, &fault);
        assert_int_equal(fault.kind, FAULT_INVALID);
        assert_null(strchr(fault.text, '\n'));
    }
}

/* Something listens and never says a word. */
static void a_silent_server_is_given_up_in_time(void **state)
{
    struct desk *desk = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    struct fault fault;
    char conninfo[64];
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 5), 0);
    getsockname(listener, (struct sockaddr *)&address, &length);
    snprintf(conninfo, sizeof conninfo, "host=127.0.0.1 port=%d", ntohs(address.sin_port));
    int64_t started_us = clock_monotonic_us();
    connecting_fails(desk, conninfo, 150000, &fault);
    assert_in_range(clock_monotonic_us() - started_us, 140000, 20000000);
    assert_string_equal(fault.text, "no connection within the time allowed");
    close(listener);
}

static void close_on_up(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    bool *told = arg;
    (void)fault;
    pg_conn_close(conn);
    *told = true;
}

static void up_may_close_the_connection(void **state)
{
    struct desk *desk = *state;
    const char *const conninfos[] = {desk->conninfo, "host=127.0.0.1 port=1",
                                     "host=/no/such/directory"};
    for (int i = 0; i < 3; i++) {
        struct pg_conn_options options = desk_options(desk);
        struct pg_conn *conn = NULL;
        struct fault fault;
        bool told = false;
        options.conninfo = conninfos[i];
        assert_true(pg_conn_open(desk->base, &options, close_on_up, &told, &conn, &fault));
        assert_false(told);
        desk_loop_until(desk, &told, 5000);
        desk_loop_for(desk, 10);
    }
}

static void a_connection_may_be_closed_while_it_is_opened(void **state)
{
    struct desk *desk = *state;
    for (int ms = 0; ms < 10; ms++) {
        struct pg_conn_options options = desk_options(desk);
        struct pg_conn *conn = NULL;
        struct fault fault;
        bool told = false;
        assert_true(pg_conn_open(desk->base, &options, close_on_up, &told, &conn, &fault));
        desk_loop_for(desk, ms);
        if (!told)
            pg_conn_close(conn);
    }
}

#define TEST(name) cmocka_unit_test_setup(name, desk_clear)

int pg_conn_loss_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_terminated_statement_is_lost_with_the_servers_words),
        TEST(an_idle_connection_that_was_ended_says_so_and_sends_nothing),
        TEST(idling_too_long_in_a_transaction_is_told_as_such),
        TEST(a_thawed_client_still_reads_the_last_words),
        TEST(last_words_read_while_sending_are_heard),
        TEST(a_time_limit_breaks_the_connection),
        TEST(a_time_limit_that_was_kept_does_no_harm),
        TEST(done_may_close_a_lost_connection),
        TEST(a_broken_script_breaks_the_connection),
        TEST(the_servers_refusal_has_its_sqlstate),
        TEST(a_port_without_a_server_is_refused),
        TEST(an_unreadable_conninfo_is_invalid),
        TEST(a_silent_server_is_given_up_in_time),
        TEST(up_may_close_the_connection),
        TEST(a_connection_may_be_closed_while_it_is_opened),
    };
    return cmocka_run_group_tests_name("pg_conn_loss", tests, desk_open, desk_close);
}
