#include "server_tests.h"

#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "postgres_fixture.h"

#include <stdio.h>
#include <sys/stat.h>

#define MESSAGE_READ SAMPLES "/message-read/message-read.yaml"

struct database {
    char conninfo[FIXTURE_CONNINFO_BYTES];
    PGconn *conn;
};

static int set_up(void **state)
{
    struct database *database = calloc(1, sizeof *database);
    if (!database || !fixture_database_new(database->conninfo))
        return 1;
    setenv("LATCHKEY_DATABASE", database->conninfo, 1);
    database->conn = fixture_connect(database->conninfo);
    fixture_exec(database->conn, "CREATE TABLE message (id bigint PRIMARY KEY, title text,"
                                 " read bigint NOT NULL DEFAULT 0);"
                                 "INSERT INTO message (id) SELECT generate_series(1, 100)");
    *state = database;
    return 0;
}

static int tear_down(void **state)
{
    struct database *database = *state;
    unsetenv("LATCHKEY_DATABASE");
    PQfinish(database->conn);
    fixture_database_drop(database->conninfo);
    free(database);
    return 0;
}

static void expect_rows(const struct program *program)
{
    json_t *rows = program_json(program);
    assert_int_equal(json_array_size(rows), 4);
    for (size_t i = 0; i < 4; i++) {
        const json_t *row = json_array_get(rows, i);
        const json_t *lost = json_object_get(row, "lost");
        if (i > 0) /* the first has no lock */
            assert_int_equal(json_integer_value(lost), 0);
        else
            assert_true(json_integer_value(lost) > 0);
        assert_true(json_integer_value(json_object_get(row, "completed")) > 0);
    }
    json_decref(rows);
}

static void it_plays_in_schemas_of_its_own_and_removes_them(void **state)
{
    struct database *database = *state;
    struct program program;
    int64_t before = fixture_int(database->conn, "SELECT count(*) FROM pg_namespace");
    program_run(&program, "demo", "--quick", "--json");
    program_expect(&program, 0);
    expect_rows(&program);
    program_done(&program);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM pg_namespace"), before);
    assert_int_equal(fixture_int(database->conn, "SELECT sum(read) FROM message"), 0);
}

static void without_a_database_it_starts_and_removes_its_own(void **state)
{
    struct program program;
    char directory[] = "/tmp/latchkey-test-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chmod(directory, 0711), 0); /* the server may run as another user */
    setenv("TMPDIR", directory, 1);
    unsetenv("LATCHKEY_DATABASE");
    program_run(&program, "demo", "message-read", "--quick", "--json", "--quiet");
    program_expect(&program, 0);
    assert_string_equal(program.err, "");
    expect_rows(&program);
    program_done(&program);
    unsetenv("TMPDIR");
    assert_int_equal(rmdir(directory), 0); /* nothing was left in it */
}

int command_demo_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(it_plays_in_schemas_of_its_own_and_removes_them),
        TEST(without_a_database_it_starts_and_removes_its_own),
    };
    return cmocka_run_group_tests_name("command_demo", tests, NULL, NULL);
}
