#include "server_tests.h"

#include "program.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "message_database.h"

#define MESSAGE_READ SAMPLES "/message-read/message-read.yaml"

enum {
    SOON_MS = 60 * 1000,
};

static void migrate(void)
{
    struct program program;
    program_run(&program, "migrate");
    program_expect(&program, 0);
    program_done(&program);
}

static PGconn *holder_of(const struct message_database *database, const char *path)
{
    PGconn *conn = fixture_connect(database->conninfo);
    fixture_exec(conn, "SET application_name = 'a report'; BEGIN");
    fixture_execf(conn, "SELECT latchkey.lock('%s')", path);
    return conn;
}

/* The first row of that mode; NULL if there is none. */
static const json_t *row_of(const json_t *rows, const char *mode)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "mode")), mode) == 0)
            return row;
    }
    return NULL;
}

static void locks_are_listed_with_who_waits_behind_them(void **state)
{
    struct message_database *database = *state;
    struct program runner, program;
    migrate();
    PGconn *holder = holder_of(database, "message/1");
    program_start(
        &runner, (const char *const[]){"run", MESSAGE_READ, "--input", "{\"message_id\":1}", NULL});
    fixture_eventually_true(database->conn,
                            "SELECT count(*) >= 2 FROM latchkey.locks WHERE path = 'message/1'"
                            " AND (granted OR '{message/1}' = blocked_by)",
                            SOON_MS);
    program_run(&program, "locks");
    program_expect(&program, 0);
    assert_non_null(strstr(program.out, " holds a report backend "));
    assert_non_null(strstr(program.out, " waits "));
    assert_non_null(strstr(program.out, "message-read/read"));
    assert_non_null(strstr(program.out, "  behind message/1\n"));
    program_done(&program);
    program_run(&program, "locks", "--json");
    program_expect(&program, 0);
    json_t *rows = program_json(&program);
    const json_t *row = row_of(rows, "exclusive");
    assert_non_null(row);
    assert_int_equal(json_object_size(row), 10);
    assert_string_equal(json_string_value(json_object_get(row, "path")), "message/1");
    json_decref(rows);
    program_done(&program);
    program_run(&program, "locks", "--break", "message/1");
    program_expect(&program, 0);
    assert_non_null(strstr(program.out, "broken: message/1\n"));
    program_done(&program);
    program_wait(&runner);
    program_expect(&runner, 0);
    program_done(&runner);
    PQclear(PQexec(holder, "SELECT 1"));
    assert_int_equal(PQstatus(holder), CONNECTION_BAD);
    PQfinish(holder);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM latchkey.lock_break WHERE"
                                                 " path = 'message/1' AND by LIKE '%@%'"),
                     1);
}

static void a_run_whose_lock_is_broken_says_who_did_it(void **state)
{
    struct message_database *database = *state;
    struct program runner, program;
    char *file = program_file("workflow: nap\nstart: sleeping\nactivities:\n  sleeping:\n"
                              "    enable-exclusive-lock: true\n    waiting-timeout: 90s\n"
                              "    script: sleep(80)\n");
    migrate();
    program_start(&runner, (const char *const[]){"run", file, NULL});
    fixture_eventually_true(database->conn,
                            "SELECT count(*) = 1 FROM latchkey.locks WHERE path = '*' AND mode ="
                            " 'exclusive'",
                            SOON_MS);
    program_run(&program, "locks", "--break", "*", "--json");
    program_expect(&program, 0);
    json_t *answer = program_json(&program);
    const json_t *row = json_array_get(json_object_get(answer, "met"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "workflow")), "nap");
    assert_string_equal(json_string_value(json_object_get(row, "activity")), "sleeping");
    assert_non_null(strchr(json_string_value(json_object_get(answer, "by")), '@'));
    json_decref(answer);
    program_done(&program);
    program_wait(&runner);
    program_expect(&runner, 1);
    assert_true(strstr(runner.out, "its lock on * was broken by ") ||
                strstr(runner.err, "its lock on * was broken by "));
    program_done(&runner);
    unlink(file);
    free(file);
}

static void what_cannot_be_broken_is_said(void **state)
{
    struct message_database *database = *state;
    struct program program;
    migrate();
    PGconn *holder = holder_of(database, "$instance/7");
    program_run(&program, "locks", "--break", "message");
    program_expect(&program, 5);
    program_expect_err(&program, "nobody holds message");
    program_done(&program);
    program_run(&program, "locks", "--break", "message//1");
    program_expect(&program, 2);
    program_expect_err(&program, "'message//1' is no lock path");
    program_done(&program);
    program_run(&program, "locks", "--break", "message", "--watch");
    program_expect(&program, 2);
    program_done(&program);
    fixture_exec(database->conn,
                 "INSERT INTO latchkey.lease (path, token, holder, process, instance, workflow,"
                 " activity, expires_at) VALUES ('message/3', 5, gen_random_uuid(),"
                 " gen_random_uuid(), gen_random_uuid(), 'pay', 'call', now() + interval '1 h')");
    program_run(&program, "locks", "--break", "message");
    program_expect(&program, 5);
    program_expect_err(&program, "nobody holds message itself; held are message/3");
    program_done(&program);
    PQfinish(holder);
}

static int n_lines(const struct program *program)
{
    static char text[1 << 16];
    int n = 0;
    ssize_t n_bytes = pread(program->out_fd, text, sizeof text, 0);
    for (ssize_t i = 0; i < n_bytes; i++)
        n += text[i] == '\n';
    return n;
}

struct expected {
    const struct program *program;
    int n;
};

static bool has_lines(void *arg)
{
    const struct expected *expected = arg;
    return n_lines(expected->program) >= expected->n;
}

/* Not on a terminal: a picture a change, and none without. */
static void watching_prints_what_changes_until_it_is_interrupted(void **state)
{
    struct message_database *database = *state;
    struct program program;
    struct expected expected = {.program = &program, .n = 1};
    migrate();
    program_start(&program, (const char *const[]){"locks", "--watch", "--json", NULL});
    fixture_eventually(has_lines, &expected, SOON_MS);
    PGconn *holder = holder_of(database, "message/1");
    expected.n = 2;
    fixture_eventually(has_lines, &expected, SOON_MS);
    sleep(3);
    assert_int_equal(n_lines(&program), 2);
    PQfinish(holder);
    expected.n = 3;
    fixture_eventually(has_lines, &expected, SOON_MS);
    kill(program.pid, SIGINT);
    program_wait(&program);
    program_expect(&program, 0);
    assert_int_equal(strncmp(program.out, "[]\n", 3), 0);
    program_done(&program);
}

int command_locks_tests(void)
{
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, message_database_set_up, message_database_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(locks_are_listed_with_who_waits_behind_them),
        TEST(a_run_whose_lock_is_broken_says_who_did_it),
        TEST(what_cannot_be_broken_is_said),
        TEST(watching_prints_what_changes_until_it_is_interrupted),
    };
    return cmocka_run_group_tests_name("command_locks", tests, NULL, NULL);
}
