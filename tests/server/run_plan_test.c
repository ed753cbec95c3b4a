#include "server_tests.h"

#include "run_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct run_plan *plan_of(const struct run_plan_source *source)
{
    struct fault fault;
    struct run_plan *plan = NULL;
    if (!run_plan_new(source, &plan, &fault)) {
        print_error("%s\n", fault.text);
        fail();
    }
    return plan;
}

static void expect_refused(const struct run_plan_source *source, const char *reason)
{
    struct fault fault;
    struct run_plan *plan = NULL;
    assert_false(run_plan_new(source, &plan, &fault));
    assert_int_equal(fault.kind, FAULT_INVALID);
    if (!strstr(fault.text, reason)) {
        print_error("\"%s\" has no \"%s\"\n", fault.text, reason);
        fail();
    }
}

static void expect_input(struct run_plan *plan, int64_t seq, const char *expected)
{
    json_t *input = run_plan_input(plan, seq);
    char *text = json_dumps(input, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, expected);
    free(text);
    json_decref(input);
}

static char *inputs_file(const char *text)
{
    char *path = strdup("/tmp/latchkey-test-XXXXXX");
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static void without_a_count_it_is_a_single_run(void **state)
{
    (void)state;
    struct run_plan *plan = plan_of(&(struct run_plan_source){.input = "{\"a\": 1}"});
    assert_true(run_plan_is_single(plan));
    assert_int_equal(run_plan_count(plan), 1);
    expect_input(plan, 0, "{\"a\":1}");
    run_plan_free(plan);
}

static void a_count_of_one_is_not_single(void **state)
{
    (void)state;
    struct run_plan *plan = plan_of(&(struct run_plan_source){.count = 1});
    assert_false(run_plan_is_single(plan));
    expect_input(plan, 0, "{}");
    run_plan_free(plan);
}

static void drawn_fields_cover_their_range_evenly(void **state)
{
    const char *vary = "n=-1..3";
    long seen[5] = {0};
    (void)state;
    struct run_plan *plan =
        plan_of(&(struct run_plan_source){.varies = &vary, .n_varies = 1, .count = 10000});
    for (int i = 0; i < 10000; i++) {
        json_t *input = run_plan_input(plan, i);
        json_int_t n = json_integer_value(json_object_get(input, "n"));
        assert_in_range(n + 1, 0, 4);
        seen[n + 1]++;
        json_decref(input);
    }
    for (int i = 0; i < 5; i++)
        assert_in_range(seen[i], 1700, 2300);
    run_plan_free(plan);
}

static void a_range_may_be_all_integers(void **state)
{
    const char *vary = "n=-9223372036854775808..9223372036854775807";
    (void)state;
    struct run_plan *plan = plan_of(&(struct run_plan_source){.varies = &vary, .n_varies = 1});
    json_t *input = run_plan_input(plan, 0);
    assert_true(json_is_integer(json_object_get(input, "n")));
    json_decref(input);
    run_plan_free(plan);
}

static void lines_lie_over_the_common_input_and_come_in_turn(void **state)
{
    char *file = inputs_file("{\"a\": 1}\n\n  \n{\"b\": 3}\n");
    const char *vary = "c=7..7";
    (void)state;
    struct run_plan *plan = plan_of(&(struct run_plan_source){
        .input = "{\"b\": 2}", .inputs_file = file, .varies = &vary, .n_varies = 1});
    assert_int_equal(run_plan_count(plan), 2);
    assert_false(run_plan_is_single(plan));
    expect_input(plan, 0, "{\"a\":1,\"b\":2,\"c\":7}");
    expect_input(plan, 1, "{\"b\":3,\"c\":7}");
    expect_input(plan, 2, "{\"a\":1,\"b\":2,\"c\":7}");
    run_plan_free(plan);
    plan = plan_of(&(struct run_plan_source){.inputs_file = file, .count = 5});
    assert_int_equal(run_plan_count(plan), 5);
    run_plan_free(plan);
    unlink(file);
    free(file);
}

static void bad_lines_are_told_with_their_number(void **state)
{
    char *file = inputs_file("{}\n\n{\"a\": }\n");
    char place[128];
    (void)state;
    snprintf(place, sizeof place, "%s:3: line 1, column 7", file);
    expect_refused(&(struct run_plan_source){.inputs_file = file}, place);
    unlink(file);
    free(file);
    file = inputs_file("{}\n[1]\n");
    expect_refused(&(struct run_plan_source){.inputs_file = file}, ":2 is not a JSON object");
    unlink(file);
    free(file);
    file = inputs_file("\n");
    expect_refused(&(struct run_plan_source){.inputs_file = file}, "there is no input in it");
    unlink(file);
    free(file);
    expect_refused(&(struct run_plan_source){.inputs_file = "/nowhere"},
                   "/nowhere: cannot be read: No such file");
}

static void bad_inputs_are_refused(void **state)
{
    static const char *const bad[] = {"", "x", "[]", "3", "null", "{\"a\":1,\"a\":2}", "{} {}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refused(&(struct run_plan_source){.input = bad[i]}, "--input");
}

static void bad_ranges_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "n",
                                      "n=",
                                      "n=1",
                                      "=1..2",
                                      "n=2..1",
                                      "n=1..",
                                      "n=..2",
                                      "n=1..2x",
                                      "n=1.5..2",
                                      "n=1...2",
                                      "n= 1..2",
                                      "n=1..9223372036854775808"};
    static const char *const twice[] = {"n=1..2", "n=1..3"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refused(&(struct run_plan_source){.varies = &bad[i], .n_varies = 1},
                       "--vary wants NAME=A..B");
    expect_refused(&(struct run_plan_source){.varies = twice, .n_varies = 2},
                   "--vary is given twice for n");
}

int run_plan_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_count_it_is_a_single_run),
        cmocka_unit_test(a_count_of_one_is_not_single),
        cmocka_unit_test(drawn_fields_cover_their_range_evenly),
        cmocka_unit_test(a_range_may_be_all_integers),
        cmocka_unit_test(lines_lie_over_the_common_input_and_come_in_turn),
        cmocka_unit_test(bad_lines_are_told_with_their_number),
        cmocka_unit_test(bad_inputs_are_refused),
        cmocka_unit_test(bad_ranges_are_refused),
    };
    return cmocka_run_group_tests_name("run_plan", tests, NULL, NULL);
}
