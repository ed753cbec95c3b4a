/* The host `serve` and the commands that change definitions, as real processes. */
#include "server_tests.h"

#include "message_database.h"
#include "program.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    N_HOSTS = 5,
    PATH_BYTES = 256,
    PATIENCE_MS = 30 * 1000,
};

struct scene {
    struct message_database *database;
    char path[64]; /* of the definitions */
};

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    if (!scene || message_database_set_up((void **)&scene->database) != 0)
        return 1;
    snprintf(scene->path, sizeof scene->path, "/tmp/latchkey-test-XXXXXX");
    *state = scene;
    return mkdtemp(scene->path) ? 0 : 1;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    char command[PATH_BYTES];
    snprintf(command, sizeof command, "rm -r %s", scene->path);
    int failed = system(command);
    message_database_tear_down((void **)&scene->database);
    free(scene);
    return failed;
}

static void put(const struct scene *scene, const char *name, int answer)
{
    char file[PATH_BYTES], draft[PATH_BYTES];
    snprintf(file, sizeof file, "%s/%s.yaml", scene->path, name);
    snprintf(draft, sizeof draft, "%s/draft", scene->path);
    FILE *stream = fopen(draft, "w");
    assert_non_null(stream);
    fprintf(stream, "workflow: %s\nstart: x\nactivities:\n  x:\n    script: output.answer = %d\n",
            name, answer);
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(rename(draft, file), 0);
}

/* What it has said so far has that part, at least so often. */
static void wait_for_err(const struct program *program, const char *part, int times)
{
    for (int i = 0; i < PATIENCE_MS / 10; i++) {
        static char text[1 << 16];
        ssize_t length = pread(program->err_fd, text, sizeof text - 1, 0);
        int n = 0;
        text[length > 0 ? length : 0] = '\0';
        for (const char *at = text; (at = strstr(at, part)); at++)
            n++;
        if (n >= times)
            return;
        usleep(10 * 1000);
    }
    fail_msg("\"%s\" was not said in time", part);
}

static void start_host(const struct scene *scene, struct program *program, const char *drain)
{
    program_start(program, (const char *const[]){"serve", "--listen", "none", "--definitions",
                                                 scene->path, "--drain", drain, NULL});
}

static void stop_host(struct program *program, int exit_code)
{
    assert_int_equal(kill(program->pid, SIGTERM), 0);
    program_wait(program);
    program_expect(program, exit_code);
    program_done(program);
}

static void hosts_import_their_directory_once_and_follow_it(void **state)
{
    struct scene *scene = *state;
    struct program hosts[N_HOSTS];
    put(scene, "first", 1);
    put(scene, "second", 1);
    for (int i = 0; i < N_HOSTS; i++)
        start_host(scene, &hosts[i], "30");
    for (int i = 0; i < N_HOSTS; i++) {
        wait_for_err(&hosts[i], "first 1 is ready", 1);
        wait_for_err(&hosts[i], "second 1 is ready", 1);
        wait_for_err(&hosts[i], "host: ready", 1);
    }
    put(scene, "second", 2);
    for (int i = 0; i < N_HOSTS; i++)
        assert_int_equal(kill(hosts[i].pid, SIGHUP), 0);
    for (int i = 0; i < N_HOSTS; i++)
        wait_for_err(&hosts[i], "second 2 is ready", 1);
    assert_int_equal(fixture_int(scene->database->conn, "SELECT count(*) FROM latchkey.definition"),
                     3);
    for (int i = 0; i < N_HOSTS; i++)
        stop_host(&hosts[i], 0);
}

static void reload_refresh_and_export_answer_in_words_and_json(void **state)
{
    struct scene *scene = *state;
    struct program program;
    char broken[PATH_BYTES];
    put(scene, "first", 1);
    program_run(&program, "reload", "--definitions", scene->path);
    program_expect(&program, 0);
    assert_string_equal(program.out, "first 1 published\n");
    program_done(&program);
    program_run(&program, "refresh", "zz", "first", "zz", "--json");
    program_expect(&program, 0);
    assert_string_equal(
        program.out,
        "{\"status\":\"refreshed\",\"refreshed\":[\"first\"],\"not-found\":[\"zz\"]}\n");
    program_done(&program);
    put(scene, "first", 2);
    snprintf(broken, sizeof broken, "%s/broken.yaml", scene->path);
    assert_int_equal(symlink("/nowhere", broken), 0);
    setenv("LATCHKEY_DEFINITIONS", scene->path, 1);
    program_run(&program, "reload", "--json");
    unsetenv("LATCHKEY_DEFINITIONS");
    program_expect(&program, 1);
    program_expect_err(&program, "broken.yaml:1:1: error: cannot be read");
    json_t *report = program_json(&program);
    assert_int_equal(json_array_size(json_object_get(report, "published")), 1);
    json_decref(report);
    program_done(&program);
    program_run(&program, "export", "first", "--version", "1");
    program_expect(&program, 0);
    assert_non_null(strstr(program.out, "output.answer = 1\n"));
    program_done(&program);
    program_run(&program, "export", "first");
    assert_non_null(strstr(program.out, "output.answer = 2\n"));
    program_done(&program);
    program_run(&program, "export", "first", "--version", "3");
    program_expect(&program, 5);
    program_done(&program);
}

static void who_is_refused_says_so_and_exits_well(void **state)
{
    struct scene *scene = *state;
    struct program program;
    PGconn *conn = scene->database->conn;
    put(scene, "first", 1);
    program_run(&program, "migrate");
    program_done(&program);
    fixture_exec(conn, "BEGIN; SELECT latchkey.lock('$definitions/first')");
    program_run(&program, "reload", "--definitions", scene->path);
    program_expect(&program, 0);
    assert_string_equal(program.out, "already-in-progress\n");
    program_done(&program);
    program_run(&program, "refresh", "first", "--json");
    program_expect(&program, 0);
    assert_string_equal(program.out,
                        "{\"status\":\"already-in-progress\",\"refreshed\":[],\"not-found\":[]}\n");
    program_done(&program);
    program_run(&program, "refresh", "second", "--json");
    assert_non_null(strstr(program.out, "\"refreshed\",\"refreshed\":[]"));
    program_done(&program);
    fixture_exec(conn, "COMMIT");
    program_run(&program, "reload", "--definitions", scene->path);
    assert_string_equal(program.out, "first 1 published\n");
    program_done(&program);
}

static void a_directory_that_is_not_there_keeps_a_host_from_starting(void **state)
{
    struct program program;
    (void)state;
    program_run(&program, "serve", "--listen", "none", "--definitions", "/nowhere");
    program_expect(&program, 2);
    program_expect_err(&program, "/nowhere: cannot be read");
    program_done(&program);
}

/* A reload that cannot write: it is under way. */
static void hold_up_a_reload(const struct scene *scene, struct program *host)
{
    PGconn *conn = scene->database->conn;
    PGconn *other = fixture_connect(scene->database->conninfo);
    wait_for_err(host, "host: ready", 1);
    fixture_exec(conn, "BEGIN; LOCK TABLE latchkey.definition IN SHARE MODE");
    put(scene, "late", 1);
    assert_int_equal(kill(host->pid, SIGHUP), 0);
    fixture_eventually_true(other,
                            "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND"
                            " relation = 'latchkey.definition'::regclass",
                            PATIENCE_MS);
    PQfinish(other);
}

static void what_is_under_way_may_end_before_the_host_does(void **state)
{
    struct scene *scene = *state;
    struct program host;
    start_host(scene, &host, "60");
    hold_up_a_reload(scene, &host);
    assert_int_equal(kill(host.pid, SIGTERM), 0);
    wait_for_err(&host, "stopping", 1);
    fixture_exec(scene->database->conn, "COMMIT");
    program_wait(&host);
    program_expect(&host, 0);
    program_done(&host);
    assert_int_equal(fixture_int(scene->database->conn, "SELECT count(*) FROM latchkey.definition"),
                     1);
}

static void what_takes_too_long_is_rolled_back(void **state)
{
    struct scene *scene = *state;
    struct program host;
    start_host(scene, &host, "1");
    hold_up_a_reload(scene, &host);
    stop_host(&host, 128 + SIGTERM);
    fixture_exec(scene->database->conn, "COMMIT");
}

static void a_second_signal_ends_a_host_at_once(void **state)
{
    struct scene *scene = *state;
    struct program host;
    start_host(scene, &host, "100");
    hold_up_a_reload(scene, &host);
    assert_int_equal(kill(host.pid, SIGINT), 0);
    wait_for_err(&host, "stopping", 1);
    stop_host(&host, 128 + SIGINT);
    fixture_exec(scene->database->conn, "COMMIT");
}

int command_serve_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(hosts_import_their_directory_once_and_follow_it),
        TEST(reload_refresh_and_export_answer_in_words_and_json),
        TEST(who_is_refused_says_so_and_exits_well),
        TEST(a_directory_that_is_not_there_keeps_a_host_from_starting),
        TEST(what_is_under_way_may_end_before_the_host_does),
        TEST(what_takes_too_long_is_rolled_back),
        TEST(a_second_signal_ends_a_host_at_once),
    };
    return cmocka_run_group_tests_name("command_serve", tests, NULL, NULL);
}
