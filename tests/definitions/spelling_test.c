#include "definitions_tests.h"
#include "spelling.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const keys[] = {"lock-context", "lock-hold", "script", "guard",
                                   "title",        "retries",   "to",     NULL};

static void a_misspelt_name_is_recognised(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"lock-contxt", "lock-context"},
        {"lock_context", "lock-context"},
        {"lockContext", "lock-context"},
        {"LOCK-CONTEXT", "lock-context"},
        {"lock-hodl", "lock-hold"},
        {"scirpt", "script"},
        {"gaurd", "guard"},
        {"titel", "title"},
        {"scr", "script"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(spelling_nearest(cases[i][0], keys), cases[i][1]);
}

static void a_name_that_is_far_from_all_has_none_near(void **state)
{
    (void)state;
    static const char *const cases[] = {"",   "-",     "x",        "colour", "up",
                                        "on", "retry", "wait-for", NULL};
    for (const char *const *each = cases; *each; each++)
        assert_null(spelling_nearest(*each, keys));
    char longest[5000];
    memset(longest, 'l', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(spelling_nearest(longest, keys));
}

static void the_nearest_of_several_wins(void **state)
{
    (void)state;
    static const char *const names[] = {"reader", "read", "readers", NULL};
    assert_string_equal(spelling_nearest("raed", names), "read");
    assert_string_equal(spelling_nearest("readrs", names), "readers");
    assert_string_equal(spelling_nearest("reder", names), "reader");
}

int spelling_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_misspelt_name_is_recognised),
        cmocka_unit_test(a_name_that_is_far_from_all_has_none_near),
        cmocka_unit_test(the_nearest_of_several_wins),
    };
    return cmocka_run_group_tests_name("spelling", tests, NULL, NULL);
}
