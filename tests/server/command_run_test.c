#include "server_tests.h"

#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "message_database.h"
#include "uuid.h"

#include <signal.h>
#include <stdio.h>

#define MESSAGE_READ SAMPLES "/message-read/message-read.yaml"

static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static json_int_t number(const json_t *object, const char *key)
{
    assert_true(json_is_integer(json_object_get(object, key)));
    return json_integer_value(json_object_get(object, key));
}

static void one_run_answers_with_its_result(void **state)
{
    struct message_database *database = *state;
    struct program program;
    program_run(&program, "run", MESSAGE_READ, "--input", "{\"message_id\":7}", "--json");
    program_expect(&program, 0);
    json_t *result = program_json(&program);
    assert_string_equal(member(result, "status"), "completed");
    assert_string_equal(member(result, "workflow"), "message-read");
    assert_string_equal(member(result, "activity"), "read");
    assert_int_equal(number(result, "version"), 1);
    assert_true(uuid_is_text(member(result, "id")));
    const json_t *lock = json_object_get(result, "lock");
    const json_t *paths = json_object_get(lock, "paths");
    assert_int_equal(json_array_size(paths), 1);
    assert_string_equal(json_string_value(json_array_get(paths, 0)), "message/7");
    assert_true(json_is_null(json_object_get(lock, "token")));
    json_decref(result);
    program_done(&program);
    assert_int_equal(fixture_int(database->conn, "SELECT read FROM message WHERE id = 7"), 1);
}

static void a_published_name_runs_too(void **state)
{
    struct program program;
    (void)state;
    program_run(&program, "run", "message-read", "--input", "{\"message_id\":1}", "--json");
    program_expect(&program, 5);
    json_t *result = program_json(&program);
    assert_string_equal(member(result, "status"), "missing");
    json_decref(result);
    program_done(&program);
    program_run(&program, "publish", MESSAGE_READ);
    program_expect(&program, 0);
    program_done(&program);
    program_run(&program, "run", "message-read", "--input", "{\"message_id\":1}");
    program_expect(&program, 0);
    assert_non_null(strstr(program.out, "completed"));
    program_done(&program);
}

static void many_runs_answer_with_totals(void **state)
{
    struct message_database *database = *state;
    struct program program;
    program_run(&program, "run", MESSAGE_READ, "--vary", "message_id=1..10", "--count", "500",
                "--json", "--quiet");
    program_expect(&program, 0);
    assert_string_equal(program.err, "");
    json_t *totals = program_json(&program);
    assert_int_equal(number(totals, "count"), 500);
    assert_int_equal(number(totals, "completed"), 500);
    assert_true(json_number_value(json_object_get(totals, "seconds")) > 0);
    assert_true(json_number_value(json_object_get(totals, "per_second")) > 0);
    const json_t *latency = json_object_get(totals, "latency_ms");
    assert_true(json_number_value(json_object_get(latency, "p50")) <=
                json_number_value(json_object_get(latency, "max")));
    json_decref(totals);
    program_done(&program);
    assert_int_equal(fixture_int(database->conn, "SELECT sum(read) FROM message WHERE id <= 10"),
                     500);
}

static void each_line_of_a_file_is_an_input(void **state)
{
    struct message_database *database = *state;
    struct program program;
    char *file =
        program_file("{\"message_id\": 1}\n{\"message_id\": 2}\n{\"message_id\": \"x\"}\n");
    program_run(&program, "run", MESSAGE_READ, "--inputs", file, "--json");
    program_expect(&program, 2);
    json_t *totals = program_json(&program);
    assert_int_equal(number(totals, "completed"), 2);
    assert_int_equal(number(totals, "invalid"), 1);
    json_decref(totals);
    program_done(&program);
    unlink(file);
    free(file);
    assert_int_equal(fixture_int(database->conn, "SELECT sum(read) FROM message"), 2);
}

static void a_missing_row_exits_5(void **state)
{
    struct program program;
    (void)state;
    program_run(&program, "run", MESSAGE_READ, "--input", "{\"message_id\":100000}", "--json");
    program_expect(&program, 5);
    json_t *result = program_json(&program);
    assert_string_equal(member(result, "status"), "missing");
    json_decref(result);
    program_done(&program);
}

/* A database of one's own gets no tables from us, even with a schema.sql at hand. */
static void a_table_that_does_not_exist_is_invalid(void **state)
{
    struct message_database *database = *state;
    struct program program;
    fixture_exec(database->conn, "DROP TABLE message");
    program_run(&program, "run", MESSAGE_READ, "--input", "{\"message_id\":1}", "--json");
    program_expect(&program, 2);
    json_t *result = program_json(&program);
    assert_string_equal(member(result, "status"), "invalid");
    assert_non_null(strstr(member(result, "reason"), "message"));
    json_decref(result);
    program_done(&program);
}

static void what_fails_before_the_database_needs_none(void **state)
{
    static const struct {
        const char *arguments[8];
        int exit_code;
        const char *status;
        const char *reason;
    } cases[] = {
        {{"run", "/nowhere.yaml", "--json"}, 2, "invalid", "/nowhere.yaml: cannot be read"},
        {{"run", MESSAGE_READ, "--json", "--input", "{\"message_id\":"}, 2, "invalid", "line 1"},
        {{"run", MESSAGE_READ, "--json", "--input", "{}"}, 2, "invalid", "input.message_id"},
        {{"run", MESSAGE_READ, "--json", "--input", "{\"message_id\":1}", "--schema", "X"},
         2,
         "invalid",
         "--schema"},
        {{"run", MESSAGE_READ, "--json", "--input", "{\"message_id\":1}", "--busy-poll-us",
          "10001"},
         2,
         "invalid",
         "--busy-poll-us"},
    };
    (void)state;
    setenv("LATCHKEY_DATABASE", "host=/nowhere", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct program program;
        program_start(&program, cases[i].arguments);
        program_wait(&program);
        program_expect(&program, cases[i].exit_code);
        json_t *result = program_json(&program);
        assert_string_equal(member(result, "status"), cases[i].status);
        assert_non_null(strstr(member(result, "reason"), cases[i].reason));
        json_decref(result);
        program_done(&program);
    }
}

static void a_database_that_is_away_is_a_failure(void **state)
{
    struct program program;
    (void)state;
    setenv("LATCHKEY_DATABASE", "host=/nowhere", 1);
    program_run(&program, "run", MESSAGE_READ, "--input", "{\"message_id\":1}", "--json");
    program_expect(&program, 1);
    json_t *result = program_json(&program);
    assert_string_equal(member(result, "status"), "failed");
    assert_non_null(strstr(member(result, "reason"), "/nowhere"));
    json_decref(result);
    program_done(&program);
    program_run(&program, "run", MESSAGE_READ, "--vary", "message_id=1..2", "--count", "3",
                "--json");
    program_expect(&program, 1);
    json_t *totals = program_json(&program);
    assert_int_equal(number(totals, "count"), 3);
    assert_int_equal(number(totals, "failed"), 3);
    json_decref(totals);
    program_done(&program);
}

static void a_signal_stops_it_and_totals_are_told(void **state)
{
    struct message_database *database = *state;
    struct program program;
    const char *const arguments[] = {"run",     MESSAGE_READ, "--vary", "message_id=1..10",
                                     "--count", "10000000",   "--json", NULL};
    program_start(&program, arguments);
    while (fixture_int(database->conn, "SELECT sum(read) FROM message") < 100)
        usleep(10000);
    int64_t told_us = clock_monotonic_us();
    kill(program.pid, SIGTERM);
    program_wait(&program);
    assert_true(clock_monotonic_us() - told_us <
                4000000); /* it did not go on for its five seconds */
    program_expect(&program, 128 + SIGTERM);
    json_t *totals = program_json(&program);
    json_int_t completed = number(totals, "completed");
    json_int_t unknown = number(totals, "unknown");
    int64_t counter = fixture_int(database->conn, "SELECT sum(read) FROM message");
    assert_true(completed >= 100 && completed < 10000000);
    assert_true(completed <= counter && counter <= completed + unknown);
    json_decref(totals);
    program_done(&program);
}

int command_run_tests(void)
{
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, message_database_set_up, message_database_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(one_run_answers_with_its_result),
        TEST(a_published_name_runs_too),
        TEST(many_runs_answer_with_totals),
        TEST(each_line_of_a_file_is_an_input),
        TEST(a_missing_row_exits_5),
        TEST(a_table_that_does_not_exist_is_invalid),
        TEST(what_fails_before_the_database_needs_none),
        TEST(a_database_that_is_away_is_a_failure),
        TEST(a_signal_stops_it_and_totals_are_told),
    };
    return cmocka_run_group_tests_name("command_run", tests, NULL, NULL);
}
