#include "server_tests.h"

#include "command_line.h"
#include "database_choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    ARGUMENTS_MAX = 8,
};

/* The choice of `latchkey migrate ARGUMENTS`, into texts of the caller. */
static void choose(const char *const *arguments, char conninfo[256], char schema[SCHEMA_BYTES])
{
    struct fault fault;
    struct command_line line;
    struct database_choice choice;
    const char *argv[ARGUMENTS_MAX + 2] = {"latchkey", "migrate"};
    int argc = 2;
    for (; arguments[argc - 2]; argc++)
        argv[argc] = arguments[argc - 2];
    assert_true(command_line_read(argc, (char **)argv, &line, &fault));
    assert_true(database_choose(&line, &choice, &fault));
    assert_false(choice.embedded);
    snprintf(conninfo, 256, "%s", text_chars(&choice.conninfo));
    memcpy(schema, choice.schema, SCHEMA_BYTES);
    database_choice_done(&choice);
    command_line_done(&line);
}

static int tear_down(void **state)
{
    (void)state;
    unsetenv("LATCHKEY_DATABASE");
    unsetenv("LATCHKEY_SCHEMA");
    unsetenv("PGHOST");
    return 0;
}

static void the_option_is_before_the_variable(void **state)
{
    char conninfo[256];
    char schema[SCHEMA_BYTES];
    (void)state;
    setenv("LATCHKEY_DATABASE", "host=b", 1);
    setenv("PGHOST", "c", 1);
    choose((const char *const[]){"--database", "host=a", NULL}, conninfo, schema);
    assert_string_equal(conninfo, "host=a");
    choose((const char *const[]){NULL}, conninfo, schema);
    assert_string_equal(conninfo, "host=b");
    unsetenv("LATCHKEY_DATABASE");
    choose((const char *const[]){NULL}, conninfo, schema);
    assert_string_equal(conninfo, "");
}

static void the_schema_comes_from_option_variable_or_default(void **state)
{
    char conninfo[256];
    char schema[SCHEMA_BYTES];
    (void)state;
    setenv("LATCHKEY_DATABASE", "host=b", 1);
    choose((const char *const[]){NULL}, conninfo, schema);
    assert_string_equal(schema, "latchkey");
    setenv("LATCHKEY_SCHEMA", "one", 1);
    choose((const char *const[]){NULL}, conninfo, schema);
    assert_string_equal(schema, "one");
    choose((const char *const[]){"--schema", "_two2", NULL}, conninfo, schema);
    assert_string_equal(schema, "_two2");
}

static void names_that_would_need_quoting_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "A",
        "1a",
        "a-b",
        "a b",
        "a\"",
        "a'",
        "a;b",
        "\xc3\xa4",
        "pg_own",
        "a123456789012345678901234567890123456789012345678901234567890123"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fault fault;
        struct command_line line;
        char schema[SCHEMA_BYTES];
        const char *argv[] = {"latchkey", "migrate", "--schema", bad[i], NULL};
        assert_true(command_line_read(4, (char **)argv, &line, &fault));
        assert_false(database_choose_schema(&line, schema, &fault));
        assert_int_equal(fault.kind, FAULT_INVALID);
        command_line_done(&line);
    }
}

int database_choice_tests(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_option_is_before_the_variable),
        TEST(the_schema_comes_from_option_variable_or_default),
        TEST(names_that_would_need_quoting_are_refused),
    };
    return cmocka_run_group_tests_name("database_choice", tests, NULL, NULL);
}
