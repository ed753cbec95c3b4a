#include "definitions_tests.h"
#include "problems.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void problems_are_printed_by_place_with_errors_first(void **state)
{
    (void)state;
    struct problems problems;
    struct text out;
    problems_init(&problems);
    text_init(&out, 10000);
    problems_add(&problems, PROBLEM_WARNING, 2, 1, "late %d", 5);
    problems_add(&problems, PROBLEM_WARNING, 1, 9, "warned");
    problems_add(&problems, PROBLEM_ERROR, 1, 9, "b");
    problems_add(&problems, PROBLEM_ERROR, 1, 9, "a");
    problems_add(&problems, PROBLEM_ERROR, 1, 2, "first\nin one line");
    problems_sort(&problems);
    problems_print(&problems, "f.yaml", &out);
    assert_string_equal(text_chars(&out), "f.yaml:1:2: error: first in one line\n"
                                          "f.yaml:1:9: error: a\n"
                                          "f.yaml:1:9: error: b\n"
                                          "f.yaml:1:9: warning: warned\n"
                                          "f.yaml:2:1: warning: late 5\n");
    assert_int_equal(problems.n_errors, 3);
    assert_int_equal(problems.n_items, 5);
    text_done(&out);
    problems_done(&problems);
}

static void a_long_message_is_cut_between_characters(void **state)
{
    (void)state;
    struct problems problems;
    char text[FAULT_TEXT_BYTES + 50];
    problems_init(&problems);
    for (size_t start = 0; start < 2; start++) {
        memset(text, 'x', sizeof text);
        for (size_t i = start; i + 2 < sizeof text; i += 2)
            memcpy(text + i, "\xC3\xA9", 2);
        text[sizeof text - 1] = '\0';
        problems_add(&problems, PROBLEM_ERROR, 1, 1, "%s", text);
        const char *message = problems.items[start].message;
        size_t length = strlen(message);
        assert_true(length >= FAULT_TEXT_BYTES - 3 && length < FAULT_TEXT_BYTES);
        assert_int_equal((length - start) % 2, 0);
    }
    problems_done(&problems);
}

static void spent_memory_is_an_error_that_is_told(void **state)
{
    (void)state;
    struct problems problems;
    struct text out;
    problems_init(&problems);
    text_init(&out, 1000);
    problems_no_memory(&problems);
    problems_no_memory(&problems);
    problems_print(&problems, "f", &out);
    assert_int_equal(problems.n_errors, 1);
    assert_string_equal(text_chars(&out),
                        "f:1:1: error: memory ran out before everything was checked\n");
    text_done(&out);
    problems_done(&problems);
}

static void a_flood_is_counted_and_errors_keep_their_room(void **state)
{
    (void)state;
    struct problems problems;
    struct text out;
    problems_init(&problems);
    text_init(&out, 1 << 20);
    for (int i = 0; i < PROBLEMS_WARNINGS_MAX + 7; i++)
        problems_add(&problems, PROBLEM_WARNING, 1, 1, "warned");
    assert_false(problems_has_room(&problems, PROBLEM_WARNING));
    assert_int_equal(problems.n_errors, 0);
    for (int i = 0; i < PROBLEMS_ERRORS_MAX + 3; i++)
        problems_add(&problems, PROBLEM_ERROR, 2, i + 1, "wrong");
    assert_int_equal(problems.n_items, PROBLEMS_ERRORS_MAX + PROBLEMS_WARNINGS_MAX);
    assert_int_equal(problems.n_errors, PROBLEMS_ERRORS_MAX + 3);
    assert_int_equal(problems_n_hidden(&problems), 10);
    problems_sort(&problems);
    problems_print(&problems, "f", &out);
    assert_non_null(strstr(text_chars(&out), "f:2:1000: error: wrong\n"));
    assert_null(strstr(text_chars(&out), "f:2:1001: "));
    assert_non_null(strstr(text_chars(&out), "\nf: and 3 more errors, 7 more warnings\n"));
    text_done(&out);
    problems_done(&problems);
}

int problems_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(problems_are_printed_by_place_with_errors_first),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
        cmocka_unit_test(spent_memory_is_an_error_that_is_told),
        cmocka_unit_test(a_flood_is_counted_and_errors_keep_their_room),
    };
    return cmocka_run_group_tests_name("problems", tests, NULL, NULL);
}
