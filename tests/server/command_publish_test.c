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

#define MESSAGE_READ SAMPLES "/message-read/message-read.yaml"

static void a_changed_text_is_a_new_version_and_an_equal_one_is_not(void **state)
{
    struct message_database *database = *state;
    struct program program;
    program_run(&program, "publish", MESSAGE_READ);
    program_expect(&program, 0);
    assert_string_equal(program.out, "message-read 1 published\n");
    program_done(&program);
    program_run(&program, "publish", MESSAGE_READ, "--json");
    program_expect(&program, 0);
    assert_string_equal(program.out,
                        "[{\"workflow\":\"message-read\",\"version\":1,\"published\":false}]\n");
    program_done(&program);
    char *file =
        program_file("workflow: message-read\nstart: a\nactivities:\n  a:\n    script: ''\n");
    program_run(&program, "publish", file, "--base", "1");
    program_expect(&program, 0);
    assert_string_equal(program.out, "message-read 2 published\n");
    program_done(&program);
    program_run(&program, "publish", MESSAGE_READ, "--base", "1");
    program_expect(&program, 1);
    assert_string_equal(program.out, "");
    program_done(&program);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM latchkey.definition"), 2);
    unlink(file);
    free(file);
}

static void one_invalid_file_keeps_all_from_being_published(void **state)
{
    struct message_database *database = *state;
    struct program program;
    program_run(&program, "migrate");
    program_expect(&program, 0);
    program_done(&program);
    char *file = program_file("workflow: Broken\n");
    program_run(&program, "publish", MESSAGE_READ, file);
    program_expect(&program, 2);
    program_done(&program);
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM latchkey.definition"), 0);
    unlink(file);
    free(file);
}

static void migrate_may_be_repeated_and_takes_any_schema(void **state)
{
    struct message_database *database = *state;
    struct program program;
    for (int i = 0; i < 2; i++) {
        program_run(&program, "migrate", "--schema", "other", "--json");
        program_expect(&program, 0);
        json_t *object = program_json(&program);
        assert_string_equal(json_string_value(json_object_get(object, "schema")), "other");
        assert_true(json_integer_value(json_object_get(object, "migrations")) > 0);
        json_decref(object);
        program_done(&program);
    }
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM other.definition"), 0);
}

static void history_lists_the_executions_of_an_instance(void **state)
{
    struct program program;
    char id[64];
    (void)state;
    program_run(&program, "run", MESSAGE_READ, "--input", "{\"message_id\":1}", "--json");
    program_expect(&program, 0);
    json_t *result = program_json(&program);
    snprintf(id, sizeof id, "%s", json_string_value(json_object_get(result, "id")));
    json_decref(result);
    program_done(&program);
    program_run(&program, "history", id, "--json");
    program_expect(&program, 0);
    json_t *rows = program_json(&program);
    assert_int_equal(json_array_size(rows), 1);
    const json_t *row = json_array_get(rows, 0);
    assert_string_equal(json_string_value(json_object_get(row, "status")), "completed");
    assert_string_equal(json_string_value(json_object_get(row, "activity")), "read");
    json_decref(rows);
    program_done(&program);
    program_run(&program, "history", id);
    program_expect(&program, 0);
    assert_non_null(strstr(program.out, "message/1"));
    program_done(&program);
    program_run(&program, "history", "00000000-0000-7000-8000-000000000000");
    program_expect(&program, 5);
    program_done(&program);
}

int command_publish_tests(void)
{
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, message_database_set_up, message_database_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_changed_text_is_a_new_version_and_an_equal_one_is_not),
        TEST(one_invalid_file_keeps_all_from_being_published),
        TEST(migrate_may_be_repeated_and_takes_any_schema),
        TEST(history_lists_the_executions_of_an_instance),
    };
    return cmocka_run_group_tests_name("command_publish", tests, NULL, NULL);
}
