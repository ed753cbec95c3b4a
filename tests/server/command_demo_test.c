#include "server_tests.h"

#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "message_database.h"

#include <stdio.h>
#include <sys/stat.h>

#define MESSAGE_READ SAMPLES "/message-read/message-read.yaml"

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
    struct message_database *database = *state;
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

/* Without the lock nothing is sure to go wrong in a quick one. */
static void the_other_samples_are_right_with_their_locks(void **state)
{
    static const struct {
        const char *name;
        const char *done;
        const char *wrong;
        json_int_t n_done; /* with the lock */
    } samples[] = {
        {"invoice-payment", "payments", "too_many", 1},
        {"package-latest", "checked", "wrong", 40},
    };
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        struct program program;
        program_run(&program, "demo", samples[i].name, "--quick", "--json", "--quiet");
        program_expect(&program, 0);
        assert_string_equal(program.err, "");
        json_t *rows = program_json(&program);
        assert_true(json_array_size(rows) >= 2);
        for (size_t r = 0; r < json_array_size(rows); r++) {
            const json_t *row = json_array_get(rows, r);
            const json_t *done = json_object_get(row, samples[i].done);
            const json_t *wrong = json_object_get(row, samples[i].wrong);
            assert_true(json_is_integer(done) && json_is_integer(wrong));
            assert_true(json_integer_value(done) >= 1);
            if (r == 0) /* without a lock */
                continue;
            assert_int_equal(json_integer_value(done), samples[i].n_done);
            assert_int_equal(json_integer_value(wrong), 0);
        }
        json_decref(rows);
        program_done(&program);
    }
}

static void two_hosts_are_told_the_true_state(void **state)
{
    static const char *const statuses[] = {"idle", "idle", "idle", "completed", "blocked"};
    struct message_database *database = *state;
    int64_t before = fixture_int(database->conn, "SELECT count(*) FROM pg_namespace");
    json_t *steps = program_answer(0, "demo", "two-hosts", "--json", "--quiet");
    assert_int_equal(json_array_size(steps), 5);
    for (size_t i = 0; i < 5; i++) {
        const json_t *step = json_array_get(steps, i);
        assert_string_equal(program_member(step, "status"), statuses[i]);
        assert_string_equal(program_member(step, "id"),
                            program_member(json_array_get(steps, 0), "id"));
        assert_int_equal(json_integer_value(json_object_get(step, "exit_code")), i == 4 ? 4 : 0);
    }
    assert_non_null(strstr(program_member(json_array_get(steps, 4), "reason"), "completed"));
    json_decref(steps);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM pg_namespace"), before);
}

static void an_unknown_sample_is_told_which_there_are(void **state)
{
    struct program program;
    (void)state;
    program_run(&program, "demo", "nothing-like-it");
    program_expect(&program, 2);
    program_expect_err(&program, "message-read, invoice-payment, package-latest, two-hosts");
    program_done(&program);
    program_run(&program, "demo", "invoice-payments");
    program_expect(&program, 2);
    program_expect_err(&program, "did you mean 'invoice-payment'?");
    program_done(&program);
}

int command_demo_tests(void)
{
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, message_database_set_up, message_database_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(it_plays_in_schemas_of_its_own_and_removes_them),
        TEST(without_a_database_it_starts_and_removes_its_own),
        TEST(the_other_samples_are_right_with_their_locks),
        TEST(two_hosts_are_told_the_true_state),
        TEST(an_unknown_sample_is_told_which_there_are),
    };
    return cmocka_run_group_tests_name("command_demo", tests, NULL, NULL);
}
