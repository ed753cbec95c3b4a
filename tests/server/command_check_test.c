#include "server_tests.h"

#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char TWO_ERRORS[] = "workflow: Broken\n"
                                 "start: nowhere\n"
                                 "activities:\n"
                                 "  read:\n"
                                 "    enable-exclusive-lock: maybe\n";

static void every_sample_is_valid(void **state)
{
    struct program program;
    (void)state;
    program_run(&program, "check", SAMPLES "/message-read/message-read.yaml",
                SAMPLES "/message-read/unlocked.yaml", SAMPLES "/message-read/lock-context.yaml");
    program_expect(&program, 0);
    assert_string_equal(program.out, "");
    assert_string_equal(program.err, "");
    program_done(&program);
}

static void warnings_are_told_and_are_no_failure(void **state)
{
    struct program program;
    (void)state;
    program_run(&program, "check", SAMPLES "/message-read/system-wide.yaml");
    program_expect(&program, 0);
    program_expect_err(&program, "warning:");
    program_done(&program);
    program_run(&program, "check", "--quiet", SAMPLES "/message-read/system-wide.yaml");
    program_expect(&program, 0);
    assert_string_equal(program.err, "");
    program_done(&program);
}

static void every_error_has_its_place(void **state)
{
    struct program program;
    char place[128];
    char *file = program_file(TWO_ERRORS);
    (void)state;
    program_run(&program, "check", file);
    program_expect(&program, 1);
    snprintf(place, sizeof place, "%s:1:", file);
    program_expect_err(&program, place);
    snprintf(place, sizeof place, "%s:5:", file);
    program_expect_err(&program, place);
    program_done(&program);
    unlink(file);
    free(file);
}

static void one_bad_file_among_good_ones_is_a_failure(void **state)
{
    struct program program;
    (void)state;
    program_run(&program, "check", SAMPLES "/message-read/message-read.yaml", "/nowhere.yaml",
                SAMPLES "/message-read/unlocked.yaml");
    program_expect(&program, 1);
    program_expect_err(&program, "/nowhere.yaml: cannot be read: No such file");
    program_done(&program);
}

static void a_directory_is_no_file(void **state)
{
    struct program program;
    (void)state;
    program_run(&program, "check", "/tmp");
    program_expect(&program, 1);
    program_expect_err(&program, "/tmp: cannot be read: Is a directory");
    program_done(&program);
}

static void json_tells_each_problem(void **state)
{
    struct program program;
    char *file = program_file(TWO_ERRORS);
    (void)state;
    program_run(&program, "check", "--json", file, SAMPLES "/message-read/message-read.yaml");
    program_expect(&program, 1);
    json_t *files = program_json(&program);
    assert_int_equal(json_array_size(files), 2);
    const json_t *first = json_array_get(files, 0);
    assert_true(json_is_false(json_object_get(first, "valid")));
    assert_true(json_array_size(json_object_get(first, "problems")) >= 2);
    assert_true(json_is_true(json_object_get(json_array_get(files, 1), "valid")));
    json_decref(files);
    program_done(&program);
    unlink(file);
    free(file);
}

int command_check_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_is_valid),
        cmocka_unit_test(warnings_are_told_and_are_no_failure),
        cmocka_unit_test(every_error_has_its_place),
        cmocka_unit_test(one_bad_file_among_good_ones_is_a_failure),
        cmocka_unit_test(a_directory_is_no_file),
        cmocka_unit_test(json_tells_each_problem),
    };
    return cmocka_run_group_tests_name("command_check", tests, NULL, NULL);
}
