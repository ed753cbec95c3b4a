#include "definition_read.h"
#include "definitions_tests.h"
#include "reading_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char message_read[] = "workflow: message-read\n"
                                   "title: Count the readers of a message\n"
                                   "input:\n"
                                   "  message_id: integer\n"
                                   "  note?: string\n"
                                   "data:\n"
                                   "  message:\n"
                                   "    table: message\n"
                                   "    key: { id: input.message_id }\n"
                                   "start: read\n"
                                   "activities:\n"
                                   "  read:\n"
                                   "    title: Read\n"
                                   "    enable-exclusive-lock: true\n"
                                   "    lock-context: '{\"message\", input.message_id}'\n"
                                   "    waiting-timeout: 5s\n"
                                   "    acquire-timeout: 10s\n"
                                   "    auto-commit-changes: true\n"
                                   "    guard: data.message.open\n"
                                   "    script: |\n"
                                   "      data.message.read = data.message.read + 1\n";

static void every_key_gets_to_its_field(void **state)
{
    const struct definition *definition = reading_fixture_accept(*state, message_read);
    assert_string_equal(definition->file, "w.yaml");
    assert_string_equal(definition->source, message_read);
    assert_int_equal(definition->source_bytes, strlen(message_read));
    assert_string_equal(definition->name, "message-read");
    assert_string_equal(definition->title, "Count the readers of a message");
    assert_null(definition->description);
    assert_int_equal(definition->n_inputs, 2);
    assert_string_equal(definition->inputs[0].name, "message_id");
    assert_int_equal(definition->inputs[0].type, INPUT_INTEGER);
    assert_false(definition->inputs[0].optional);
    assert_string_equal(definition->inputs[1].name, "note");
    assert_int_equal(definition->inputs[1].type, INPUT_STRING);
    assert_true(definition->inputs[1].optional);
    assert_int_equal(definition->n_data, 1);
    assert_string_equal(definition->data[0].name, "message");
    assert_string_equal(definition->data[0].table, "message");
    assert_int_equal(definition->data[0].line, 7);
    assert_int_equal(definition->data[0].n_keys, 1);
    assert_string_equal(definition->data[0].keys[0].column, "id");
    assert_string_equal(definition->data[0].keys[0].value.text, "input.message_id");
    assert_int_equal(definition->data[0].keys[0].value.line, 9);
    const struct activity *read = definition_activity(definition, "read");
    assert_ptr_equal(read, &definition->activities[definition->start]);
    assert_string_equal(read->title, "Read");
    assert_int_equal(read->line, 12);
    assert_true(read->exclusive_lock);
    assert_string_equal(read->lock_context.text, "{\"message\", input.message_id}");
    assert_int_equal(read->lock_context.line, 15);
    assert_false(read->lock_context_uses_data);
    assert_int_equal(read->waiting_timeout_ms, 5000);
    assert_int_equal(read->acquire_timeout_ms, 10000);
    assert_string_equal(read->guard.text, "data.message.open");
    assert_string_equal(read->script.text, "data.message.read = data.message.read + 1\n");
    assert_int_equal(read->script.line, 21);
    assert_null(definition_activity(definition, "write"));
}

static void what_is_left_out_has_its_default(void **state)
{
    const struct definition *definition = reading_fixture_accept(
        *state,
        "workflow: a\nstart: b\ndata: {d: {table: s.t, key: {id: 5}}}\nactivities: {b: {}}\n");
    assert_null(definition->title);
    assert_int_equal(definition->n_inputs, 0);
    assert_int_equal(definition->history, HISTORY_FULL);
    assert_int_equal(definition->max_steps, 1000);
    assert_int_equal(definition->n_triggers, 0);
    assert_true(definition->data[0].required);
    assert_false(definition->data[0].list);
    assert_string_equal(definition->data[0].keys[0].value.text, "5");
    const struct activity *activity = &definition->activities[0];
    assert_false(activity->exclusive_lock);
    assert_null(activity->lock_context.text);
    assert_int_equal(activity->waiting_timeout_ms, 30000);
    assert_int_equal(activity->acquire_timeout_ms, 30000);
    assert_true(activity->auto_commit);
    assert_null(activity->guard.text);
    assert_null(activity->script.text);
    assert_null(activity->action);
    assert_int_equal(activity->lock_hold, LOCK_HOLD_TRANSACTION);
    assert_int_equal(activity->on_conflict, ON_CONFLICT_RETRY);
    assert_false(activity->persist_on_close);
    assert_null(activity->wait_for);
    assert_int_equal(activity->retries, 0);
    assert_int_equal(activity->n_navigation, 0);
}

static void the_acquire_timeout_follows_the_waiting_timeout(void **state)
{
    const struct definition *definition = reading_fixture_accept(
        *state, "workflow: a\nstart: b\nactivities:\n  b: {waiting-timeout: 2m}\n");
    assert_int_equal(definition->activities[0].waiting_timeout_ms, 120000);
    assert_int_equal(definition->activities[0].acquire_timeout_ms, 120000);
    definition = reading_fixture_accept(
        *state,
        "workflow: a\nstart: b\nactivities:\n  b:\n    enable-exclusive-lock: true\n"
        "    lock-context: lock.system\n    acquire-timeout: 0ms\n    waiting-timeout: 24d\n");
    assert_int_equal(definition->activities[0].waiting_timeout_ms, INT64_C(2073600000));
    assert_int_equal(definition->activities[0].acquire_timeout_ms, 0);
}

static void an_empty_script_is_a_script(void **state)
{
    const struct definition *definition =
        reading_fixture_accept(*state, "workflow: a\nstart: b\nactivities: {b: {script: \"\"}}\n");
    assert_string_equal(definition->activities[0].script.text, "");
}

static void lists_have_where_and_order(void **state)
{
    const struct definition *definition = reading_fixture_accept(
        *state, "workflow: a\nstart: b\ninput: {id: string}\n"
                "data:\n"
                "  one:\n    table: t\n    list: true\n    order-by: x desc\n"
                "  two:\n    table: t\n    list: true\n    where: {p: input.id, q: true}\n"
                "    order-by: [x, y desc, z asc]\n"
                "activities: {b: {}}\n");
    assert_int_equal(definition->n_data, 2);
    assert_true(definition->data[0].list);
    assert_int_equal(definition->data[0].n_keys, 0);
    assert_int_equal(definition->data[0].n_order_by, 1);
    assert_string_equal(definition->data[0].order_by[0].column, "x");
    assert_true(definition->data[0].order_by[0].descending);
    const struct data_declaration *two = &definition->data[1];
    assert_int_equal(two->n_keys, 2);
    assert_string_equal(two->keys[1].column, "q");
    assert_string_equal(two->keys[1].value.text, "true");
    assert_int_equal(two->n_order_by, 3);
    assert_false(two->order_by[0].descending);
    assert_string_equal(two->order_by[1].column, "y");
    assert_true(two->order_by[1].descending);
    assert_false(two->order_by[2].descending);
}

static void the_checksum_is_sha_256_of_the_source(void **state)
{
    /* By sha256sum of these bytes. */
    const struct definition *definition =
        reading_fixture_accept(*state, "workflow: a\nstart: b\nactivities: {b: {}}\n");
    assert_string_equal(definition->checksum,
                        "5e09ae6dc4844652ce7481c7cf14136303d89efbefedaf8f54a513ee6241a338");
}

static void json_and_yaml_say_the_same(void **state)
{
    const struct definition *definition = reading_fixture_accept(
        *state,
        "{\"workflow\": \"a\", \"title\": \"\\uD83D\\uDE00\", \"max-steps\": 5,\n"
        " \"start\": \"b\", \"activities\": {\"b\": {\"enable-exclusive-lock\": true,\n"
        "  \"lock-context\": \"{\\\"message\\\", 1}\", \"script\": \"local a\\nlocal b\"}}}");
    assert_string_equal(definition->title, "\xF0\x9F\x98\x80");
    assert_int_equal(definition->max_steps, 5);
    assert_true(definition->activities[0].exclusive_lock);
    assert_string_equal(definition->activities[0].lock_context.text, "{\"message\", 1}");
    assert_string_equal(definition->activities[0].script.text, "local a\nlocal b");
}

static void a_warning_does_not_refuse(void **state)
{
    struct reading_fixture *fixture = *state;
    const char *source = "workflow: a\nstart: b\nactivities: {b: {enable-exclusive-lock: true}}\n";
    assert_true(reading_fixture_read(fixture, "w.yaml", source, strlen(source)));
    assert_int_equal(fixture->problems.n_items, 1);
    assert_int_equal(fixture->problems.n_errors, 0);
    assert_string_equal(fixture->definition->activities[0].name, "b");
}

static void problems_of_an_earlier_file_do_not_refuse_the_next(void **state)
{
    struct reading_fixture *fixture = *state;
    struct definition *definition = NULL;
    const char *source = "workflow: a\nstart: b\nactivities: {b: {}}\n";
    (void)reading_fixture_refuse(fixture, "");
    assert_true(definition_read(fixture->sandbox, "x", source, strlen(source), &definition,
                                &fixture->problems));
    definition_free(definition);
    assert_int_equal(fixture->problems.n_errors, 1);
}

static void lua_errors_have_the_line_of_the_file(void **state)
{
    static const char *const block[] = {"|", "|-", "|+", "|2", "| # words", NULL};
    for (const char *const *each = block; *each; each++) {
        struct text source;
        text_init(&source, 10000);
        text_addf(&source,
                  "workflow: a\nstart: b\nactivities:\n  b:\n    script: %s\n"
                  "      local x = 1\n\n      x = = 2\n",
                  *each);
        const char *printed = reading_fixture_refuse(*state, text_chars(&source));
        text_done(&source);
        assert_non_null(strstr(printed, "w.yaml:8:1: error: script: "));
    }
    assert_non_null(
        strstr(reading_fixture_refuse(
                   *state, "workflow: a\nstart: b\nactivities:\n  b:\n    script: x = =\n"),
               "w.yaml:5:13: error: script: "));
}

/* Reads a script of several lines with the error on the last one, deep in a large file. */
static void a_line_number_is_right_far_down(void **state)
{
    struct text source;
    text_init(&source, 1 << 20);
    text_add_chars(&source, "workflow: a\nstart: b\n");
    for (int i = 0; i < 5000; i++)
        text_add_chars(&source, "# a comment\n");
    text_add_chars(&source, "activities:\n  b:\n    script: |\n");
    for (int i = 0; i < 3000; i++)
        text_add_chars(&source, "      x = 1\n");
    text_add_chars(&source, "      x = = 1\n");
    assert_non_null(strstr(reading_fixture_refuse(*state, text_chars(&source)),
                           "w.yaml:8006:1: error: script: "));
    text_done(&source);
}

static void a_file_that_attacks_is_refused_at_once(void **state)
{
    static const char *const repeated[] = {
        "[",  "{\"a\":",        "- ",   "? ",   "&a [", "*a ", "!!map {",     "x: y\n", "x: [\n",
        "\"", "\\uD83D\\uDE00", "a b ", "{{",   "'",    "|\n", "%YAML 1.2\n", "---\n",  "a:",
        ": ", "- - ",           "[a, ", "[]: ", NULL};
    static const char *const heads[] = {"", "{\"", "workflow: a\nactivities: {b: {guard: '", NULL};
    struct text source;
    text_init(&source, 2 << 20);
    for (const char *const *head = heads; *head; head++) {
        for (const char *const *each = repeated; *each; each++) {
            text_clear(&source);
            text_add_chars(&source, *head);
            while (source.length + strlen(*each) <= DEFINITION_BYTES_MAX)
                text_add_chars(&source, *each);
            assert_false(reading_fixture_read(*state, "w.yaml", source.bytes, source.length));
            assert_non_null(
                strstr(text_chars(&((struct reading_fixture *)*state)->printed), ": error: "));
        }
    }
    text_done(&source);
}

/* So many columns that the second list of them would end far behind its memory. */
static void both_a_key_and_a_where_are_refused(void **state)
{
    static const char *const parts[] = {"    key:\n", "    where:\n"};
    struct text source;
    text_init(&source, 1 << 20);
    text_add_chars(&source, "workflow: a\nstart: b\nactivities: {b: {}}\n"
                            "data:\n  d:\n    table: t\n    list: true\n");
    for (int i = 0; i < 2; i++) {
        text_add_chars(&source, parts[i]);
        for (int k = 0; k < 300; k++)
            text_addf(&source, "      c%d: %d\n", k, k);
    }
    assert_non_null(strstr(reading_fixture_refuse(*state, text_chars(&source)), "key"));
    text_done(&source);
}

static int set_up(void **state)
{
    static struct reading_fixture fixture;
    reading_fixture_init(&fixture);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    reading_fixture_done(*state);
    return 0;
}

int definition_read_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_gets_to_its_field),
        cmocka_unit_test(what_is_left_out_has_its_default),
        cmocka_unit_test(the_acquire_timeout_follows_the_waiting_timeout),
        cmocka_unit_test(an_empty_script_is_a_script),
        cmocka_unit_test(lists_have_where_and_order),
        cmocka_unit_test(the_checksum_is_sha_256_of_the_source),
        cmocka_unit_test(json_and_yaml_say_the_same),
        cmocka_unit_test(a_warning_does_not_refuse),
        cmocka_unit_test(problems_of_an_earlier_file_do_not_refuse_the_next),
        cmocka_unit_test(lua_errors_have_the_line_of_the_file),
        cmocka_unit_test(a_line_number_is_right_far_down),
        cmocka_unit_test(a_file_that_attacks_is_refused_at_once),
        cmocka_unit_test(both_a_key_and_a_where_are_refused),
    };
    return cmocka_run_group_tests_name("definition_read", tests, set_up, tear_down);
}
