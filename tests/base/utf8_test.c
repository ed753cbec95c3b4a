#include "base_tests.h"
#include "utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void only_whole_good_characters_count(void **state)
{
    static const struct {
        const char *bytes;
        size_t n_good;
    } cases[] = {
        {"", 0},
        {"abc", 3},
        {"a\xC3\xBC", 3},
        {"\xE2\x82\xAC", 3},
        {"\xED\x9F\xBF\xEE\x80\x80", 6},
        {"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", 8},
        {"a\x80", 1},
        {"a\xC3(", 1},
        {"a\xE2\x82(", 1},
        {"a\xC0\x80", 1},
        {"a\xC1\xBF", 1},
        {"a\xE0\x9F\xBF", 1},
        {"a\xED\xA0\x80", 1},
        {"a\xF0\x8F\xBF\xBF", 1},
        {"a\xF4\x90\x80\x80", 1},
        {"a\xF5\x80\x80\x80", 1},
        {"a\xFF", 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(utf8_prefix(cases[i].bytes, strlen(cases[i].bytes), 100), cases[i].n_good);
}

static void a_character_is_not_cut(void **state)
{
    (void)state;
    assert_int_equal(utf8_prefix("\xE2\x82\xAC", 2, 100), 0);
    assert_int_equal(utf8_prefix("a\xE2\x82\xAC", 4, 3), 1);
    assert_int_equal(utf8_prefix("a\xE2\x82\xAC", 4, 4), 4);
}

int utf8_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_whole_good_characters_count),
        cmocka_unit_test(a_character_is_not_cut),
    };
    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
