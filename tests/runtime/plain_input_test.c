/* What is read from the input without Lua is what Lua would have read. */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include "plain_input.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int n_terms(const char *source)
{
    struct plain_input plain;
    plain_input_read(source, &plain);
    return plain.n_terms;
}

static void names_of_the_input_and_texts_are_plain(void **state)
{
    (void)state;
    assert_int_equal(n_terms("input.id"), 1);
    assert_int_equal(n_terms(" input.id\n"), 1);
    assert_int_equal(n_terms("\"message\""), 1);
    assert_int_equal(n_terms("{\"message\", input.message_id}"), 2);
    assert_int_equal(n_terms("{ 'a' ,input._b9,\t'c' }"), 3);
    assert_int_equal(n_terms("{'1','2','3','4','5','6','7','8'}"), 8);
}

static void all_else_is_left_to_lua(void **state)
{
    static const char *const sources[] = {
        "",
        "input",
        "input.",
        "input.a.b",
        "input.a or 1",
        "input['a']",
        "input.a -- comment",
        "vars.a",
        "inputs.a",
        "42",
        "nil",
        "lock.system",
        "{}",
        "{input.a",
        "{input.a,}",
        "{input.a; 'b'}",
        "{x = input.a}",
        "{{'a'}, {'b'}}",
        "{'1','2','3','4','5','6','7','8','9'}",
        "'a\\65'",
        "'a' .. 'b'",
        "'a",
        "'a\"",
        "[[a]]",
        "{'a', nil}",
        "input.a, input.b",
    };
    (void)state;
    assert_int_equal(n_terms(NULL), 0);
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        if (n_terms(sources[i]) != 0)
            fail_msg("%s", sources[i]);
}

enum {
    TEXT_BYTES = 2048,
    TOLD_BYTES = OUTCOME_TEXT_BYTES + OUTCOME_PATHS_BYTES + 16,
};

/* What an execution under a lock context told, from the words on that do not name the file. */
static void run(struct host *host, const char *type, const char *context, const char *value,
                char told[TOLD_BYTES])
{
    char yaml[TEXT_BYTES], input[TEXT_BYTES];
    snprintf(yaml, sizeof yaml,
             "workflow: locks\ninput:\n  v?: %s\nstart: go\nactivities:\n  go:\n"
             "    enable-exclusive-lock: true\n    waiting-timeout: 10s\n"
             "    lock-context: |\n      %s\n    script: output.done = true\n",
             type, context);
    snprintf(input, sizeof input, value ? "{\"v\":%s}" : "{}", value);
    struct outcome outcome = host_run(host, yaml, input);
    const char *words = strstr(outcome.reason, "lock-context");
    snprintf(told, TOLD_BYTES, "%d %s %s", (int)outcome.status, outcome.paths,
             words ? words : outcome.reason);
}

static void paths_and_what_is_wrong_are_those_of_lua(void **state)
{
    static const char *const values[][2] = {
        {"integer", "7"},
        {"integer", "-7"},
        {"integer", "0"},
        {"integer", "9223372036854775807"},
        {"integer", "-9223372036854775808"},
        {"integer", NULL},
        {"number", "42.0"},
        {"number", "1.5"},
        {"number", "1e300"},
        {"boolean", "true"},
        {"boolean", "false"},
        {"string", "\"a\""},
        {"string", "\"7\""},
        {"string", "\"a/b %*$ é\""},
        {"string", "\"*\""},
        {"string", "\"$definitions\""},
        {"string", "\"\""},
        {"array", "[\"a\",\"b\"]"},
        {"array", "[]"},
        {"object", "{\"a\":1}"},
    };
    /* the same to Lua, and what is plain of the two */
    static const char *const contexts[][2] = {
        {"input.v", "(input.v)"},
        {"{\"message\", input.v}", "{\"message\", (input.v)}"},
        {"{input.v, input.v, 'x'}", "{(input.v), input.v, 'x'}"},
    };
    struct host *host = host_start(*state, NULL);
    char plain[TOLD_BYTES], lua[TOLD_BYTES];
    for (size_t c = 0; c < sizeof contexts / sizeof *contexts; c++) {
        assert_true(n_terms(contexts[c][0]) > 0 && n_terms(contexts[c][1]) == 0);
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            run(host, values[v][0], contexts[c][0], values[v][1], plain);
            run(host, values[v][0], contexts[c][1], values[v][1], lua);
            assert_string_equal(plain, lua);
        }
    }
    char longest[300] = "\"", value[304];
    memset(longest + 1, 'l', 256);
    for (int n = 255; n <= 256; n++) {
        snprintf(value, sizeof value, "%.*s\"", n + 1, longest);
        run(host, "string", contexts[1][0], value, plain);
        run(host, "string", contexts[1][1], value, lua);
        assert_string_equal(plain, lua);
    }
    host_stop(host);
}

/* The keys of rows; those that no row has give `missing`, those that fit no column `invalid`. */
static void keys_are_those_of_lua(void **state)
{
    static const char *const columns[] = {"smallint", "integer", "bigint", "text", "numeric"};
    static const char *const values[] = {"7",     "-7",     "0",          "32768",
                                         "70000", "123456", "2147483648", "9223372036854775807"};
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
        char sql[256], yaml[TEXT_BYTES], input[64];
        snprintf(sql, sizeof sql,
                 "CREATE TABLE item (id %s PRIMARY KEY, n int DEFAULT 0);"
                 "INSERT INTO item VALUES (7), (-7)",
                 columns[c]);
        runtime_fixture_tables(*state, sql);
        struct host *host = host_start(*state, NULL);
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            struct outcome outcomes[2];
            for (int i = 0; i < 2; i++) {
                snprintf(yaml, sizeof yaml,
                         "workflow: keys\ninput:\n  id: integer\ndata:\n  i:\n    table: item\n"
                         "    key: { id: %s }\nstart: go\nactivities:\n  go:\n"
                         "    enable-exclusive-lock: true\n    waiting-timeout: 10s\n"
                         "    script: data.i.n = data.i.n + 1\n",
                         i ? "(input.id)" : "input.id");
                snprintf(input, sizeof input, "{\"id\":%s}", values[v]);
                outcomes[i] = host_run(host, yaml, input);
            }
            assert_int_equal(outcomes[0].status, outcomes[1].status);
            assert_string_equal(outcomes[0].reason, outcomes[1].reason);
        }
        host_stop(host);
        if (strstr(columns[c], "int"))
            assert_sql_text(*state, "SELECT string_agg(n::text, ' ') FROM item", "2 2");
    }
}

int plain_input_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_the_input_and_texts_are_plain),
        cmocka_unit_test(all_else_is_left_to_lua),
        cmocka_unit_test(paths_and_what_is_wrong_are_those_of_lua),
        cmocka_unit_test(keys_are_those_of_lua),
    };
    return cmocka_run_group_tests_name("plain_input", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
