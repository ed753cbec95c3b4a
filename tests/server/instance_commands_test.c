/* Instances that live longer than one command: send, resume, instances, history, keys. */
#include "server_tests.h"

#include "message_database.h"
#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "uuid.h"

#define NOBODY "00000000-0000-7000-8000-000000000000"

static const char ORDER[] = "workflow: order\n"
                            "input:\n"
                            "  message_id: integer\n"
                            "data:\n"
                            "  message:\n"
                            "    table: message\n"
                            "    key: { id: input.message_id }\n"
                            "start: open\n"
                            "activities:\n"
                            "  open:\n"
                            "    script: vars.opened = true\n"
                            "    navigation:\n"
                            "      - to: pay\n"
                            "  pay:\n"
                            "    wait-for: paid\n"
                            "    enable-exclusive-lock: true\n"
                            "    lock-context: '{\"message\", input.message_id}'\n"
                            "    script: |\n"
                            "      data.message.read = data.message.read + event.payload.amount\n"
                            "    navigation:\n"
                            "      - to: close\n"
                            "  close:\n"
                            "    script: |\n"
                            "      if data.message.title == nil then fail('no title yet') end\n"
                            "      output.title = data.message.title\n";

/* Runs the workflow once and gives the instance's id, which is idle then. */
static void open_order(char id[UUID_TEXT_BYTES])
{
    char *file = program_file(ORDER);
    json_t *result = program_answer(0, "run", file, "--input", "{\"message_id\":7}", "--json");
    assert_string_equal(program_member(result, "status"), "idle");
    assert_string_equal(program_member(result, "activity"), "open");
    strcpy(id, program_member(result, "id"));
    json_decref(result);
    unlink(file);
    free(file);
}

static void an_event_runs_an_idle_instance_to_its_end(void **state)
{
    struct message_database *database = *state;
    char id[UUID_TEXT_BYTES];
    fixture_exec(database->conn, "UPDATE message SET title = 'a' WHERE id = 7");
    open_order(id);
    json_t *result = program_answer(0, "send", id, "paid", "--payload", "{\"amount\":5}", "--json");
    assert_string_equal(program_member(result, "status"), "completed");
    assert_string_equal(program_member(result, "activity"), "close");
    assert_string_equal(program_member(json_object_get(result, "output"), "title"), "a");
    json_decref(result);
    assert_int_equal(fixture_int(database->conn, "SELECT read FROM message WHERE id = 7"), 5);
}

static void an_event_that_is_not_taken_is_answered_with_the_true_state(void **state)
{
    struct message_database *database = *state;
    char id[UUID_TEXT_BYTES];
    fixture_exec(database->conn, "UPDATE message SET title = 'a' WHERE id = 7");
    open_order(id);
    json_t *result = program_answer(4, "send", id, "cancelled", "--json");
    assert_string_equal(program_member(result, "status"), "blocked");
    assert_non_null(strstr(program_member(result, "reason"), "waits for event 'paid'"));
    json_decref(result);
    json_decref(program_answer(0, "send", id, "paid", "--payload", "{\"amount\":5}", "--json"));
    result = program_answer(4, "send", id, "paid", "--payload", "{\"amount\":5}", "--json");
    assert_non_null(strstr(program_member(result, "reason"), "completed"));
    json_decref(result);
    json_decref(program_answer(5, "send", NOBODY, "paid", "--json"));
    json_decref(program_answer(2, "send", id, "paid", "--payload", "{amount}", "--json"));
    assert_int_equal(fixture_int(database->conn, "SELECT read FROM message WHERE id = 7"), 5);
}

static void a_failed_instance_is_resumed_where_it_stopped(void **state)
{
    struct message_database *database = *state;
    char id[UUID_TEXT_BYTES];
    open_order(id);
    json_t *result = program_answer(1, "send", id, "paid", "--payload", "{\"amount\":5}", "--json");
    assert_string_equal(program_member(result, "status"), "failed");
    assert_string_equal(program_member(result, "activity"), "close");
    json_decref(result);
    json_t *list = program_answer(0, "instances", "--status", "failed", "--json");
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(program_member(json_array_get(list, 0), "id"), id);
    assert_non_null(strstr(program_member(json_array_get(list, 0), "reason"), "no title yet"));
    json_decref(list);
    fixture_exec(database->conn, "UPDATE message SET title = 'b' WHERE id = 7");
    result = program_answer(0, "resume", id, "--json");
    assert_string_equal(program_member(result, "status"), "completed");
    json_decref(result);
    json_decref(program_answer(4, "resume", id, "--json"));
    /* its first two activities ran once */
    assert_int_equal(fixture_int(database->conn, "SELECT read FROM message WHERE id = 7"), 5);
}

static void history_tells_every_activity_in_its_order(void **state)
{
    static const char *const expected[][2] = {
        {"open", "completed"}, {"pay", "completed"}, {"close", "failed"}, {"close", "completed"}};
    struct message_database *database = *state;
    char id[UUID_TEXT_BYTES];
    open_order(id);
    json_decref(program_answer(1, "send", id, "paid", "--payload", "{\"amount\":5}", "--json"));
    fixture_exec(database->conn, "UPDATE message SET title = 'b' WHERE id = 7");
    json_decref(program_answer(0, "resume", id, "--json"));
    json_t *history = program_answer(0, "history", id, "--json");
    assert_int_equal(json_array_size(history), 4);
    for (size_t i = 0; i < 4; i++) {
        const json_t *row = json_array_get(history, i);
        assert_string_equal(program_member(row, "activity"), expected[i][0]);
        if (i > 0) /* the first one says idle or completed: what it came to */
            assert_string_equal(program_member(row, "status"), expected[i][1]);
    }
    json_decref(history);
    struct program program;
    program_run(&program, "history", id);
    program_expect(&program, 0);
    assert_non_null(strstr(program.out, "no title yet"));
    program_done(&program);
}

static void instances_come_page_by_page(void **state)
{
    char ids[5][UUID_TEXT_BYTES], after[UUID_TEXT_BYTES] = "";
    size_t n = 0, n_pages = 0;
    (void)state;
    for (int i = 0; i < 5; i++)
        open_order(ids[i]);
    for (bool more = true; more; n_pages++) {
        json_t *list =
            *after
                ? program_answer(0, "instances", "--limit", "2", "--after", after, "--json")
                : program_answer(0, "instances", "--limit", "2", "--workflow", "order", "--json");
        size_t size = json_array_size(list);
        for (size_t i = 0; i < size; i++, n++) /* the newest first */
            assert_string_equal(program_member(json_array_get(list, i), "id"), ids[4 - n]);
        if (size > 0)
            strcpy(after, program_member(json_array_get(list, size - 1), "id"));
        more = size == 2;
        json_decref(list);
    }
    assert_int_equal(n, 5);
    assert_int_equal(n_pages, 3);
    json_t *none = program_answer(0, "instances", "--workflow", "other", "--json");
    assert_int_equal(json_array_size(none), 0);
    json_decref(none);
}

static void completed_instances_are_listed_only_when_asked_for(void **state)
{
    struct message_database *database = *state;
    struct program program;
    char id[UUID_TEXT_BYTES];
    fixture_exec(database->conn, "UPDATE message SET title = 'a' WHERE id = 7");
    open_order(id);
    program_run(&program, "instances");
    program_expect(&program, 0);
    assert_non_null(strstr(program.out, id));
    assert_non_null(strstr(program.out, "waits for paid"));
    program_done(&program);
    json_decref(program_answer(0, "send", id, "paid", "--payload", "{\"amount\":1}", "--json"));
    program_run(&program, "instances");
    assert_string_equal(program.out, "");
    program_done(&program);
    json_t *all = program_answer(0, "instances", "--all", "--json");
    json_t *completed = program_answer(0, "instances", "--status", "completed", "--json");
    assert_int_equal(json_array_size(all), 1);
    assert_true(json_equal(all, completed));
    json_decref(all);
    json_decref(completed);
    program_run(&program, "instances", "--status", "asleep");
    program_expect(&program, 2);
    program_expect_err(&program, "--status wants");
    program_done(&program);
}

static void the_same_key_is_one_execution_and_one_answer(void **state)
{
    struct message_database *database = *state;
    char *file =
        program_file("workflow: once\ninput:\n  n: integer\ndata:\n  message:\n"
                     "    table: message\n    key: { id: 1 }\nstart: a\nactivities:\n"
                     "  a:\n    script: data.message.read = data.message.read + input.n\n");
    json_t *first = program_answer(0, "run", file, "--key", "k", "--input", "{\"n\":3}", "--json");
    json_t *second = program_answer(0, "run", file, "--key", "k", "--input", "{\"n\":3}", "--json");
    assert_string_equal(program_member(first, "id"), program_member(second, "id"));
    assert_true(json_is_false(json_object_get(first, "replayed")));
    assert_true(json_is_true(json_object_get(second, "replayed")));
    json_decref(first);
    json_decref(second);
    json_t *other = program_answer(2, "run", file, "--key", "k", "--input", "{\"n\":4}", "--json");
    assert_string_equal(program_member(other, "status"), "invalid");
    json_decref(other);
    json_decref(program_answer(2, "run", file, "--key", "", "--input", "{\"n\":4}", "--json"));
    json_t *totals = program_answer(0, "run", file, "--key", "many", "--input", "{\"n\":10}",
                                    "--count", "20", "--hosts", "2", "--json");
    assert_int_equal(json_integer_value(json_object_get(totals, "completed")), 20);
    json_decref(totals);
    assert_int_equal(fixture_int(database->conn, "SELECT read FROM message WHERE id = 1"), 13);
    unlink(file);
    free(file);
}

static void a_command_leaves_no_host_behind(void **state)
{
    struct message_database *database = *state;
    char id[UUID_TEXT_BYTES];
    open_order(id);
    json_decref(program_answer(4, "send", id, "other", "--json"));
    json_decref(program_answer(0, "instances", "--json"));
    json_decref(program_answer(0, "run", "order", "--input", "{\"message_id\":3}", "--count", "8",
                               "--hosts", "2", "--json"));
    assert_int_equal(fixture_int(database->conn, "SELECT count(*) FROM latchkey.host"), 0);
}

int instance_commands_tests(void)
{
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, message_database_set_up, message_database_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_event_runs_an_idle_instance_to_its_end),
        TEST(an_event_that_is_not_taken_is_answered_with_the_true_state),
        TEST(a_failed_instance_is_resumed_where_it_stopped),
        TEST(history_tells_every_activity_in_its_order),
        TEST(instances_come_page_by_page),
        TEST(completed_instances_are_listed_only_when_asked_for),
        TEST(the_same_key_is_one_execution_and_one_answer),
        TEST(a_command_leaves_no_host_behind),
    };
#undef TEST
    return cmocka_run_group_tests_name("instance commands", tests, NULL, NULL);
}
