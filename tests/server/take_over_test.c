/* Hosts that are killed in the middle of workflows: others go on, and every change is there once.
 */
#include "server_tests.h"

#include "message_database.h"
#include "program.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    N_KILLS = 10,
    N_KILLS_LONG = 50,
    N_AT_A_TIME = 4, /* workflows begun before each kill */
    PATIENCE_MS = 120 * 1000,
};

#define ACTIVITY(name, next)                                                                       \
    "  " name ":\n"                                                                                \
    "    enable-exclusive-lock: true\n"                                                            \
    "    lock-context: '{\"work\", input.id}'\n"                                                   \
    "    script: |\n"                                                                              \
    "      sleep(0.03)\n"                                                                          \
    "      data.work." name " = data.work." name " + 1\n" next

static const char yaml[] =
    "workflow: five\n"
    "input: {id: integer}\n"
    "data: {work: {table: work, key: {id: input.id}}}\n"
    "start: a\n"
    "activities:\n" ACTIVITY("a", "    navigation: [{to: b}]\n")
        ACTIVITY("b", "    navigation: [{to: c}]\n") ACTIVITY("c", "    navigation: [{to: d}]\n")
            ACTIVITY("d", "    navigation: [{to: e}]\n") ACTIVITY("e", "");

static void start_host(struct program *program)
{
    program_start(program, (const char *const[]){"serve", "--listen", "none", "--quiet",
                                                 "--ownership-timeout", "1s", NULL});
}

static void kill_host(struct program *program)
{
    kill(program->pid, SIGKILL);
    program_wait(program);
    assert_int_equal(program->exit_code, 128 + SIGKILL);
    program_done(program);
}

static void queue(PGconn *conn, int first)
{
    char sql[600];
    snprintf(sql, sizeof sql,
             "INSERT INTO work SELECT i FROM generate_series(%d, %d) AS i;"
             "INSERT INTO latchkey.job (id, kind, workflow, instance, input) "
             "SELECT u, 'start', 'five', u, jsonb_build_object('id', i) "
             "FROM (SELECT gen_random_uuid() AS u, i FROM generate_series(%d, %d) AS i) AS x",
             first, first + N_AT_A_TIME - 1, first, first + N_AT_A_TIME - 1);
    fixture_exec(conn, sql);
}

static void what_a_killed_host_had_is_done_once(void **state)
{
    struct message_database *database = *state;
    struct program publish, hosts[2];
    int n_kills = getenv("LATCHKEY_TEST_LONG") ? N_KILLS_LONG : N_KILLS;
    char *file = program_file(yaml);
    fixture_exec(database->conn,
                 "CREATE TABLE work (id integer PRIMARY KEY, a integer NOT NULL DEFAULT 0,"
                 " b integer NOT NULL DEFAULT 0, c integer NOT NULL DEFAULT 0,"
                 " d integer NOT NULL DEFAULT 0, e integer NOT NULL DEFAULT 0)");
    program_run(&publish, "publish", file);
    program_expect(&publish, 0);
    program_done(&publish);
    start_host(&hosts[0]);
    start_host(&hosts[1]);
    sleep(2); /* both have beaten twice: they may judge others */
    for (int i = 0; i < n_kills; i++) {
        queue(database->conn, 1 + i * N_AT_A_TIME);
        usleep((useconds_t)(rand() % 500) * 1000);
        kill_host(&hosts[i % 2]);
        start_host(&hosts[i % 2]);
    }
    for (int i = 0; i < PATIENCE_MS / 100; i++) {
        if (fixture_int(database->conn, "SELECT (SELECT count(*) FROM latchkey.job) + "
                                        "(SELECT count(*) FROM latchkey.instance "
                                        "WHERE status <> 'completed')") == 0)
            break;
        usleep(100 * 1000);
    }
    int64_t n_work = (int64_t)n_kills * N_AT_A_TIME;
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM latchkey.instance "
                                                 "WHERE status = 'completed'"),
                     n_work);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM work "
                                                 "WHERE (a, b, c, d, e) = (1, 1, 1, 1, 1)"),
                     n_work);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM latchkey.job"), 0);
    kill_host(&hosts[0]);
    kill_host(&hosts[1]);
    unlink(file);
    free(file);
}

int take_over_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_a_killed_host_had_is_done_once,
                                        message_database_set_up, message_database_tear_down),
    };
    return cmocka_run_group_tests_name("take_over", tests, NULL, NULL);
}
