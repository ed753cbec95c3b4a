/* Every documented status, produced by the program, with its exit code. */
#include "server_tests.h"

#include "message_database.h"
#include "pg_proxy.h"
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MESSAGE_READ SAMPLES "/message-read/message-read.yaml"

#define HEAD                                                                                       \
    "workflow: status\n"                                                                           \
    "data:\n"                                                                                      \
    "  message: {table: message, key: {id: '7'}}\n"                                                \
    "start: a\n"                                                                                   \
    "activities:\n"                                                                                \
    "  a:\n"                                                                                       \
    "    enable-exclusive-lock: true\n"                                                            \
    "    lock-context: '{\"message\", 7}'\n"

/* It is in no batch with others, and waits for a row for as long as it may. */
#define PATIENT "    auto-commit-changes: false\n"
#define ADD "    script: data.message.read = data.message.read + 1\n"

static void run_file(struct program *program, const char *yaml)
{
    char *file = program_file(yaml);
    program_run(program, "run", file, "--json");
    unlink(file);
    free(file);
}

/* Looks at what it printed and how it exited. */
static void expect(struct program *program, const char *status, int exit_code, const char *reason)
{
    program_expect(program, exit_code);
    json_t *result = program_json(program);
    assert_string_equal(program_member(result, "status"), status);
    if (!*reason)
        assert_true(json_is_null(json_object_get(result, "reason")));
    else if (!strstr(program_member(result, "reason"), reason))
        assert_string_equal(program_member(result, "reason"), reason);
    json_decref(result);
    program_done(program);
}

static int64_t reads(const struct message_database *database)
{
    return fixture_int(database->conn, "SELECT read FROM message WHERE id = 7");
}

static void completed_exits_0(void **state)
{
    struct program program;
    run_file(&program, HEAD ADD);
    expect(&program, "completed", 0, "");
    assert_int_equal(reads(*state), 1);
}

static void idle_exits_0(void **state)
{
    struct program program;
    run_file(&program, HEAD ADD "    navigation: [{to: b}]\n  b: {wait-for: go}\n");
    expect(&program, "idle", 0, "");
    assert_int_equal(reads(*state), 1);
}

static void queued_exits_0(void **state)
{
    struct program program;
    program_run(&program, "run", MESSAGE_READ, "--input", "{\"message_id\":7}", "--queue",
                "--json");
    expect(&program, "queued", 0, "");
    assert_int_equal(reads(*state), 0);
}

static void locked_exits_3(void **state)
{
    struct message_database *database = *state;
    struct program program;
    program_run(&program, "migrate");
    program_expect(&program, 0);
    program_done(&program);
    fixture_exec(database->conn, "BEGIN; SELECT latchkey.lock('message')"); /* an ancestor */
    run_file(&program, HEAD "    acquire-timeout: 0s\n" ADD);
    fixture_exec(database->conn, "COMMIT");
    expect(&program, "locked", 3, "no lock within the acquire timeout");
    assert_int_equal(reads(database), 0);
}

static void blocked_exits_4(void **state)
{
    struct program program;
    run_file(&program, HEAD "    guard: data.message.read > 0\n" ADD);
    expect(&program, "blocked", 4, "guard");
    assert_int_equal(reads(*state), 0);
}

static void missing_exits_5(void **state)
{
    struct message_database *database = *state;
    struct program program;
    program_run(&program, "run", "nobody", "--json");
    expect(&program, "missing", 5, "no workflow 'nobody'");
    fixture_exec(database->conn, "DELETE FROM message WHERE id = 7");
    run_file(&program, HEAD ADD);
    expect(&program, "missing", 5, "no such row");
}

/* Somebody without the lock has changed the row, and commits while the save waits for it. */
static void conflict_exits_1(void **state)
{
    struct message_database *database = *state;
    struct program program;
    char *file = program_file(HEAD PATIENT "    on-conflict: fail\n" ADD);
    PGconn *watcher = fixture_connect(database->conninfo);
    fixture_exec(database->conn, "BEGIN; UPDATE message SET read = 10 WHERE id = 7");
    program_start(&program, (const char *const[]){"run", file, "--json", NULL});
    fixture_eventually_true(watcher,
                            "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname ="
                            " current_database() AND application_name LIKE 'latchkey%'"
                            " AND wait_event = 'transactionid'",
                            60000);
    fixture_exec(database->conn, "COMMIT");
    program_wait(&program);
    expect(&program, "conflict", 1, "changed by somebody else");
    assert_int_equal(reads(database), 10);
    PQfinish(watcher);
    unlink(file);
    free(file);
}

static void expired_exits_1(void **state)
{
    struct program program;
    run_file(&program, HEAD "    waiting-timeout: 300ms\n"
                            "    script: |\n"
                            "      data.message.read = 1\n"
                            "      sleep(60)\n");
    expect(&program, "expired", 1, "waiting timeout");
    assert_int_equal(reads(*state), 0);
}

static void failed_exits_1(void **state)
{
    struct program program;
    run_file(&program, HEAD "    script: |\n"
                            "      data.message.read = 1\n"
                            "      fail('not today')\n");
    expect(&program, "failed", 1, "not today");
    assert_int_equal(reads(*state), 0);
}

static void invalid_exits_2(void **state)
{
    struct program program;
    program_run(&program, "run", MESSAGE_READ, "--input", "{\"message_id\":\"seven\"}", "--json");
    expect(&program, "invalid", 2, "message_id");
    run_file(&program, "workflow: status\nstart: a\nactivities:\n"
                       "  a: {enable-exclusive-lock: true, lock-context: '1.5'}\n");
    expect(&program, "invalid", 2, "lock-context");
    assert_int_equal(reads(*state), 0);
}

/* The commit happens, its answer does not come, and the database is away for as long as it is asked
 * for: everything up to COMMIT is sent, and waits in the server for a row that somebody holds. */
static void unknown_exits_75(void **state)
{
    struct message_database *database = *state;
    struct program program;
    struct pg_proxy *proxy;
    struct fault fault;
    char *file =
        program_file(HEAD PATIENT "    waiting-timeout: 12s\n    acquire-timeout: 1s\n" ADD);
    PGconn *watcher = fixture_connect(database->conninfo);
    assert_true(pg_proxy_start(database->conninfo, &proxy, &fault));
    fixture_exec(database->conn, "BEGIN; SELECT FROM message WHERE id = 7 FOR UPDATE");
    setenv("LATCHKEY_DATABASE", pg_proxy_conninfo(proxy), 1);
    program_start(&program, (const char *const[]){"run", file, "--json", NULL});
    setenv("LATCHKEY_DATABASE", database->conninfo, 1);
    fixture_eventually_true(watcher,
                            "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname ="
                            " current_database() AND application_name LIKE 'latchkey%'"
                            " AND wait_event = 'transactionid'",
                            60000);
    pg_proxy_freeze(proxy);
    fixture_exec(database->conn, "COMMIT");
    fixture_eventually_true(watcher, "SELECT read = 1 FROM message WHERE id = 7", 60000);
    pg_proxy_set_away(proxy, true);
    pg_proxy_cut(proxy);
    program_wait(&program);
    expect(&program, "unknown", 75, "the answer to the commit was lost");
    PQfinish(watcher);
    unlink(file);
    free(file);
    pg_proxy_stop(proxy);
}

int status_tests(void)
{
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, message_database_set_up, message_database_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(completed_exits_0), TEST(idle_exits_0),     TEST(queued_exits_0),
        TEST(locked_exits_3),    TEST(blocked_exits_4),  TEST(missing_exits_5),
        TEST(conflict_exits_1),  TEST(expired_exits_1),  TEST(failed_exits_1),
        TEST(invalid_exits_2),   TEST(unknown_exits_75),
    };
#undef TEST
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
