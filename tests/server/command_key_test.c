#include "server_tests.h"

#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char WORKFLOW[] = "workflow: keys\n"
                               "input:\n"
                               "  id: integer\n"
                               "  name?: string\n"
                               "start: one\n"
                               "activities:\n"
                               "  one:\n"
                               "    enable-exclusive-lock: true\n"
                               "    lock-context: '{\"message\", input.id}'\n"
                               "  several:\n"
                               "    enable-exclusive-lock: true\n"
                               "    lock-context: '{{\"b\", 1}, {\"a\", input.id}, {\"a\"}}'\n"
                               "  whole:\n"
                               "    enable-exclusive-lock: true\n"
                               "    lock-context: lock.system\n"
                               "  default:\n"
                               "    enable-exclusive-lock: true\n"
                               "  none:\n"
                               "    script: ''\n"
                               "  optional:\n"
                               "    enable-exclusive-lock: true\n"
                               "    lock-context: '{\"user\", input.name}'\n"
                               "  strange:\n"
                               "    enable-exclusive-lock: true\n"
                               "    lock-context: '{\"a/b\", \"%*\", \"$\"}'\n";

static int set_up(void **state)
{
    *state = program_file(WORKFLOW);
    return 0;
}

static int tear_down(void **state)
{
    unlink(*state);
    free(*state);
    return 0;
}

static void expect_paths(const char *file, const char *activity, const char *input,
                         const char *paths)
{
    struct program program;
    program_run(&program, "key", "--quiet", file, activity, "--input", input);
    program_expect(&program, 0);
    assert_string_equal(program.out, paths);
    program_done(&program);
}

static void paths_come_one_a_line_in_lock_order(void **state)
{
    expect_paths(*state, "one", "{\"id\": 42}", "message/42\n");
    expect_paths(*state, "one", "{\"id\": 42.0}", "message/42\n");
    expect_paths(*state, "several", "{\"id\": 1}", "a\nb/1\n");
    expect_paths(*state, "strange", "{\"id\": 1}", "a%2Fb/%25%2A/$\n");
}

static void the_whole_system_is_a_star(void **state)
{
    expect_paths(*state, "whole", "{\"id\": 1}", "*\n");
    expect_paths(*state, "default", "{\"id\": 1}", "*\n");
}

static void an_activity_without_a_lock_has_no_paths(void **state)
{
    expect_paths(*state, "none", "{\"id\": 1}", "");
}

static void json_is_an_array(void **state)
{
    struct program program;
    program_run(&program, "key", "--quiet", "--json", *state, "several", "--input", "{\"id\": 1}");
    program_expect(&program, 0);
    assert_string_equal(program.out, "[\"a\",\"b/1\"]\n");
    program_done(&program);
}

static void what_is_invalid_exits_2_and_prints_no_path(void **state)
{
    static const struct {
        const char *activity;
        const char *input;
        const char *reason;
    } cases[] = {
        {"on", "{\"id\": 1}", "did you mean 'one'?"},
        {"one", "{\"id\": \"1\"}", "input.id"},
        {"one", "{}", "input.id"},
        {"one", "{\"id\": 1, \"x\": 2}", "x"},
        {"one", "{\"id\": 1", "--input: line 1, column"},
        {"one", "[1]", "--input is not an object"},
        {"optional", "{\"id\": 1}", "item 2 of the list is nil"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct program program;
        program_run(&program, "key", "--quiet", *state, cases[i].activity, "--input",
                    cases[i].input);
        program_expect(&program, 2);
        program_expect_err(&program, cases[i].reason);
        assert_string_equal(program.out, "");
        program_done(&program);
    }
}

static void a_bad_lock_context_is_told_with_its_line(void **state)
{
    struct program program;
    char place[128];
    program_run(&program, "key", "--quiet", *state, "optional", "--input", "{\"id\": 1}");
    snprintf(place, sizeof place, "%s:22:", (const char *)*state);
    program_expect_err(&program, place);
    program_done(&program);
}

static void data_must_be_an_object(void **state)
{
    struct program program;
    program_run(&program, "key", "--quiet", *state, "one", "--input", "{\"id\": 1}", "--data",
                "[]");
    program_expect(&program, 2);
    program_expect_err(&program, "--data is not an object");
    program_done(&program);
}

static void a_bad_file_exits_2(void **state)
{
    struct program program;
    char *file = program_file("workflow: Broken\n");
    (void)state;
    program_run(&program, "key", file, "one", "--input", "{}");
    program_expect(&program, 2);
    program_done(&program);
    unlink(file);
    free(file);
}

int command_key_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_come_one_a_line_in_lock_order),
        cmocka_unit_test(the_whole_system_is_a_star),
        cmocka_unit_test(an_activity_without_a_lock_has_no_paths),
        cmocka_unit_test(json_is_an_array),
        cmocka_unit_test(what_is_invalid_exits_2_and_prints_no_path),
        cmocka_unit_test(a_bad_lock_context_is_told_with_its_line),
        cmocka_unit_test(data_must_be_an_object),
        cmocka_unit_test(a_bad_file_exits_2),
    };
    return cmocka_run_group_tests_name("command_key", tests, set_up, tear_down);
}
