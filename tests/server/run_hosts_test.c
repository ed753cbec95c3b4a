#include "server_tests.h"

#include "clock.h"
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "message_database.h"

#include <signal.h>
#include <stdio.h>

#define MESSAGE_READ SAMPLES "/message-read/message-read.yaml"

enum {
    START_MS = 60 * 1000,
};

static json_int_t number(const json_t *object, const char *key)
{
    assert_true(json_is_integer(json_object_get(object, key)));
    return json_integer_value(json_object_get(object, key));
}

/* The children of a process, at most n; returns how many there are. */
static int children_of(pid_t pid, pid_t *children, int n)
{
    char path[64];
    int found = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *stream = fopen(path, "re");
    assert_non_null(stream);
    while (found < n && fscanf(stream, "%d", &children[found]) == 1)
        found++;
    fclose(stream);
    return found;
}

struct hosts {
    pid_t program; /* that started them */
    pid_t pids[2];
    char arguments[2][1024]; /* each with a blank behind it */
};

static void read_arguments(pid_t pid, char *out, size_t n_bytes)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    FILE *stream = fopen(path, "re");
    size_t length = stream ? fread(out, 1, n_bytes - 1, stream) : 0;
    out[length] = '\0';
    for (size_t i = 0; i < length; i++)
        if (!out[i])
            out[i] = ' ';
    if (stream)
        fclose(stream);
}

/* Between fork and exec a child has the arguments of its parent. */
static bool are_started(void *arg)
{
    struct hosts *hosts = arg;
    bool started = children_of(hosts->program, hosts->pids, 2) == 2;
    for (int i = 0; started && i < 2; i++) {
        read_arguments(hosts->pids[i], hosts->arguments[i], sizeof hosts->arguments[i]);
        started = strstr(hosts->arguments[i], " --worker ");
    }
    return started;
}

static int64_t counter(const struct message_database *database)
{
    return fixture_int(database->conn, "SELECT coalesce(sum(read), 0) FROM message");
}

static void start_until(const struct message_database *database, struct program *program,
                        int64_t wanted)
{
    const char *const arguments[] = {"run",   MESSAGE_READ, "--vary", "message_id=1..10", "--count",
                                     "20000", "--hosts",    "3",      "--json",           NULL};
    program_start(program, arguments);
    while (counter(database) < wanted)
        usleep(5000);
}

static void expect_contract(const struct message_database *database, const json_t *totals)
{
    int64_t counted = counter(database);
    int64_t completed = number(totals, "completed");
    int64_t unknown = number(totals, "unknown");
    if (completed > counted || counted > completed + unknown) {
        print_error("completed %lld, counter %lld, unknown %lld\n", (long long)completed,
                    (long long)counted, (long long)unknown);
        fail();
    }
    assert_int_equal(number(totals, "count"), 20000);
}

static void hosts_share_the_work_and_lose_nothing(void **state)
{
    struct message_database *database = *state;
    struct program program;
    program_run(&program, "run", MESSAGE_READ, "--vary", "message_id=1..10", "--count", "2000",
                "--hosts", "3", "--json", "--quiet");
    program_expect(&program, 0);
    assert_string_equal(program.err, "");
    json_t *totals = program_json(&program);
    assert_int_equal(number(totals, "completed"), 2000);
    json_decref(totals);
    program_done(&program);
    assert_int_equal(counter(database), 2000);
    assert_int_equal(
        fixture_int(database->conn, "SELECT count(DISTINCT process) FROM latchkey.execution"), 3);
}

static void hosts_use_the_database_that_was_named(void **state)
{
    struct message_database *database = *state;
    struct program program;
    setenv("LATCHKEY_DATABASE", "host=/nowhere", 1);
    program_run(&program, "run", MESSAGE_READ, "--vary", "message_id=1..10", "--count", "20",
                "--hosts", "2", "--schema", "other", "--database", database->conninfo);
    program_expect(&program, 0);
    program_done(&program);
    assert_int_equal(counter(database), 20);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM other.execution"), 20);
}

static void hosts_have_the_pool_and_the_busy_poll_that_were_given(void **state)
{
    struct message_database *database = *state;
    struct program program;
    const char *const arguments[] = {
        "run", MESSAGE_READ, "--vary", "message_id=1..10", "--count",        "10000000", "--hosts",
        "2",   "--pool",     "5",      "--json",           "--busy-poll-us", "77",       NULL};
    program_start(&program, arguments);
    struct hosts hosts = {.program = program.pid};
    fixture_eventually(are_started, &hosts, START_MS);
    while (counter(database) == 0)
        usleep(5000);
    kill(program.pid, SIGTERM);
    program_wait(&program);
    program_expect(&program, 128 + SIGTERM);
    for (int i = 0; i < 2; i++) {
        assert_non_null(strstr(hosts.arguments[i], " --pool 5 "));
        assert_non_null(strstr(hosts.arguments[i], " --busy-poll-us 77 "));
    }
    program_done(&program);
}

static void the_others_go_on_when_a_host_is_killed(void **state)
{
    struct message_database *database = *state;
    struct program program;
    pid_t children[3];
    start_until(database, &program, 1000);
    assert_int_equal(children_of(program.pid, children, 3), 3);
    kill(children[1], SIGKILL);
    program_wait(&program);
    json_t *totals = program_json(&program);
    assert_int_equal(program.exit_code, number(totals, "unknown") ? 75 : 0);
    assert_int_equal(number(totals, "completed") + number(totals, "unknown"), 20000);
    assert_true(number(totals, "unknown") <= 64 / 3);
    expect_contract(database, totals);
    json_decref(totals);
    program_expect_err(&program, "died with");
    program_done(&program);
}

static void what_nobody_was_left_to_do_has_failed(void **state)
{
    struct message_database *database = *state;
    struct program program;
    pid_t children[3];
    start_until(database, &program, 1000);
    assert_int_equal(children_of(program.pid, children, 3), 3);
    for (int i = 0; i < 3; i++)
        kill(children[i], SIGKILL);
    program_wait(&program);
    json_t *totals = program_json(&program);
    assert_true(number(totals, "failed") > 0);
    assert_int_not_equal(program.exit_code, 0);
    expect_contract(database, totals);
    json_decref(totals);
    program_done(&program);
}

static void hosts_end_with_the_process_that_started_them(void **state)
{
    struct message_database *database = *state;
    struct program program;
    pid_t children[3];
    start_until(database, &program, 1000);
    assert_int_equal(children_of(program.pid, children, 3), 3);
    kill(program.pid, SIGKILL);
    program_wait(&program);
    program_done(&program);
    for (int i = 0; i < 3; i++)
        for (int tries = 0; kill(children[i], 0) == 0; tries++) {
            assert_true(tries < 1000);
            usleep(10000);
        }
}

static void start_two_hosts(struct program *program, pid_t children[2])
{
    const char *const arguments[] = {
        "run", MESSAGE_READ, "--vary", "message_id=1..10", "--count", "200", "--hosts", "2", NULL};
    program_start(program, arguments);
    while (children_of(program->pid, children, 2) < 2)
        usleep(100);
}

static int64_t is_known(const struct message_database *database, pid_t host)
{
    char query[100];
    snprintf(query, sizeof query, "SELECT count(*) FROM latchkey.host WHERE pid = %d", (int)host);
    return fixture_int(database->conn, query);
}

/* The second stands still before it was ready. */
static void start_with_a_late_host(const struct message_database *database, struct program *program,
                                   pid_t children[2])
{
    for (int tries = 0; tries < 20; tries++) {
        start_two_hosts(program, children);
        kill(children[1], SIGSTOP);
        if (!is_known(database, children[1]))
            return;
        kill(children[1], SIGCONT);
        program_wait(program);
        program_done(program);
        fixture_exec(database->conn, "TRUNCATE latchkey.execution");
    }
    fail();
}

static void a_late_host_is_awaited_but_not_for_ever(void **state)
{
    struct message_database *database = *state;
    struct program program;
    pid_t children[2];
    program_run(&program, "migrate");
    program_done(&program);
    start_with_a_late_host(database, &program, children);
    while (!is_known(database, children[0]))
        usleep(5000);
    fixture_execf(database->conn,
                  "CREATE TABLE early AS SELECT started_at FROM latchkey.host WHERE pid = %d",
                  (int)children[0]);
    while (fixture_int(database->conn, "SELECT count(*) FROM latchkey.execution") == 0)
        usleep(5000);
    kill(children[1], SIGCONT);
    program_wait(&program);
    program_expect(&program, 0);
    program_done(&program);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM latchkey.execution"), 200);
    assert_int_equal(fixture_int(database->conn,
                                 "SELECT (min(finished_at) > (SELECT started_at FROM early)"
                                 " + interval '2 s')::int FROM latchkey.execution"),
                     1);
}

static void when_all_hosts_are_ready_they_begin(void **state)
{
    (void)state;
    for (int tries = 0;; tries++) {
        struct program program;
        pid_t children[2];
        assert_true(tries < 10);
        int64_t started_us = clock_monotonic_us();
        start_two_hosts(&program, children);
        program_wait(&program);
        program_expect(&program, 0);
        program_done(&program);
        if (clock_monotonic_us() - started_us < 2 * 1000 * 1000)
            return;
    }
}

static void hosts_that_cannot_work_say_why(void **state)
{
    struct program program;
    (void)state;
    program_run(&program, "run", "nobody", "--count", "10", "--hosts", "2", "--json");
    program_expect(&program, 5);
    program_expect_err(&program, "nobody");
    json_t *totals = program_json(&program);
    assert_int_equal(number(totals, "missing"), 10);
    json_decref(totals);
    program_done(&program);
}

int run_hosts_tests(void)
{
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, message_database_set_up, message_database_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(hosts_share_the_work_and_lose_nothing),
        TEST(hosts_use_the_database_that_was_named),
        TEST(hosts_have_the_pool_and_the_busy_poll_that_were_given),
        TEST(the_others_go_on_when_a_host_is_killed),
        TEST(what_nobody_was_left_to_do_has_failed),
        TEST(hosts_end_with_the_process_that_started_them),
        TEST(a_late_host_is_awaited_but_not_for_ever),
        TEST(when_all_hosts_are_ready_they_begin),
        TEST(hosts_that_cannot_work_say_why),
    };
    return cmocka_run_group_tests_name("run_hosts", tests, NULL, NULL);
}
