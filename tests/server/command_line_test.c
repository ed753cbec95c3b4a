#include "server_tests.h"

#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MESSAGE_READ SAMPLES "/message-read/message-read.yaml"

static void without_a_command_help_goes_to_stderr(void **state)
{
    struct program program;
    (void)state;
    program_start(&program, (const char *const[]){NULL});
    program_wait(&program);
    program_expect(&program, 2);
    program_expect_err(&program, "latchkey COMMAND");
    assert_string_equal(program.out, "");
    program_done(&program);
}

static void help_lists_what_is_there_and_nothing_else(void **state)
{
    static const char *const there[] = {"check",   "key",       "run",    "serve",   "send",
                                        "resume",  "publish",   "reload", "refresh", "export",
                                        "migrate", "instances", "jobs",   "history", "db",
                                        "demo",    "help"};
    static const char *const later[] = {"--worker"};
    struct program program;
    (void)state;
    program_run(&program, "help");
    program_expect(&program, 0);
    for (size_t i = 0; i < sizeof there / sizeof *there; i++)
        assert_non_null(strstr(program.out, there[i]));
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        assert_null(strstr(program.out, later[i]));
    program_done(&program);
}

static void each_command_has_help(void **state)
{
    static const char *const names[] = {"check",   "key",       "run",    "serve",   "send",
                                        "resume",  "publish",   "reload", "refresh", "export",
                                        "migrate", "instances", "jobs",   "history", "db",
                                        "demo",    "help"};
    struct program program;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *shown;
        program_run(&program, names[i], "--help");
        program_expect(&program, 0);
        assert_non_null(strstr(program.out, "Options:"));
        shown = strdup(program.out);
        program_done(&program);
        program_run(&program, "help", names[i]);
        program_expect(&program, 0);
        assert_string_equal(program.out, shown);
        program_done(&program);
        free(shown);
    }
}

static void the_version_is_on_stdout(void **state)
{
    struct program program;
    (void)state;
    program_run(&program, "--version");
    program_expect(&program, 0);
    assert_int_equal(strncmp(program.out, "latchkey ", 9), 0);
    program_done(&program);
}

/* What is refused, and a part of the reason. */
static const struct {
    const char *arguments[5];
    const char *reason;
} refused[] = {
    {{"chek"}, "there is no command 'chek'; did you mean 'check'?"},
    {{"resume"}, "resume needs an argument"},
    {{"serve", "--listen=none", "--keep-history=30"}, "--keep-history wants a duration"},
    {{"serve", "--listen", "localhost:80"}, "--listen wants an address and a port"},
    {{"serve", "--listen=none", "--drain=soon"}, "--drain wants a whole number"},
    {{"reload"}, "which directory?"},
    {{"export"}, "export needs an argument"},
    {{"export", "x", "--version", "0"}, "--version wants a whole number from 1"},
    {{"frobnicate"}, "there is no command 'frobnicate'"},
    {{"run", "x", "--cout", "3"}, "no option --cout; did you mean --count?"},
    {{"check", "x", "--count", "3"}, "check has no option --count"},
    {{"--count", "3", "check", "x"}, "check has no option --count"},
    {{"run", "x", "-j"}, "there is no option -j"},
    {{"run", "x", "--count"}, "--count needs a value"},
    {{"run", "x", "--count", "0"}, "--count wants a whole number from 1"},
    {{"run", "x", "--count", "1x"}, "not '1x'"},
    {{"run", "x", "--count=1", "--count=2"}, "--count is given twice"},
    {{"run", "x", "--json=1"}, "--json takes no value"},
    {{"run", "x", "--hosts", "2"}, "--hosts wants --count"},
    {{"run", "x", "--key"}, "--key needs a value"},
    {{"send", "x"}, "send needs arguments: latchkey send [OPTION...] INSTANCE EVENT"},
    {{"jobs", "--retry", "x"}, "--retry wants an id"},
    {{"instances", "--limit", "0"}, "--limit wants a whole number from 1"},
    {{"instances", "--dead"}, "instances has no option --dead"},
    {{"run"}, "run needs an argument"},
    {{"key", "x"}, "key needs arguments"},
    {{"run", "x", "y"}, "run does not take 'y'"},
    {{"run", "x", "--vary", "n=5..1"}, "--vary wants NAME=A..B"},
    {{"publish", "--base", "1", "x", "y"}, "--base goes with one file"},
    {{"history", "x"}, "'x' is no instance id"},
    {{"db", "strat"}, "did you mean 'db start'?"},
    {{"db", "stop", "now"}, "db stop does not take 'now'"},
    {{"demo", "mesage-read"}, "did you mean 'message-read'?"},
    {{"migrate", "--schema", "Upper"}, "'Upper' is no name of a schema"},
    {{"help", "ru"}, "did you mean 'run'?"},
};

static void what_cannot_be_read_is_refused_with_the_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct program program;
        program_start(&program, refused[i].arguments);
        program_wait(&program);
        program_expect(&program, 2);
        program_expect_err(&program, refused[i].reason);
        assert_string_equal(program.out, "");
        program_done(&program);
    }
}

static void a_refused_run_answers_in_json_if_asked_anywhere(void **state)
{
    struct program program;
    (void)state;
    program_run(&program, "run", "x", "--bogus", "--json");
    program_expect(&program, 2);
    json_t *object = program_json(&program);
    assert_string_equal(json_string_value(json_object_get(object, "status")), "invalid");
    assert_non_null(strstr(json_string_value(json_object_get(object, "reason")), "--bogus"));
    json_decref(object);
    program_done(&program);
}

static void options_may_stand_before_the_command(void **state)
{
    struct program program;
    (void)state;
    program_run(&program, "--quiet", "check", MESSAGE_READ);
    program_expect(&program, 0);
    program_done(&program);
}

static void output_that_cannot_be_written_is_a_failure(void **state)
{
    (void)state;
    assert_int_not_equal(system(LATCHKEY_PROGRAM " help >/dev/full 2>/dev/null"), 0);
}

int command_line_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_command_help_goes_to_stderr),
        cmocka_unit_test(help_lists_what_is_there_and_nothing_else),
        cmocka_unit_test(each_command_has_help),
        cmocka_unit_test(the_version_is_on_stdout),
        cmocka_unit_test(what_cannot_be_read_is_refused_with_the_reason),
        cmocka_unit_test(a_refused_run_answers_in_json_if_asked_anywhere),
        cmocka_unit_test(options_may_stand_before_the_command),
        cmocka_unit_test(output_that_cannot_be_written_is_a_failure),
    };
    return cmocka_run_group_tests_name("command_line", tests, NULL, NULL);
}
