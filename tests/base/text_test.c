#include "base_tests.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int open_text(void **state)
{
    struct text *text = malloc(sizeof *text);
    if (!text)
        return -1;
    text_init(text, 1000);
    *state = text;
    return 0;
}

static int close_text(void **state)
{
    text_done(*state);
    free(*state);
    return 0;
}

static void an_empty_text_is_a_string_too(void **state)
{
    struct text *text = *state;
    struct fault fault;
    assert_string_equal(text_chars(text), "");
    assert_true(text_ok(text, &fault));
    text_clear(text);
    text_cut(text, 0);
    text_add(text, NULL, 0);
    assert_string_equal(text_chars(text), "");
}

static void additions_follow_each_other(void **state)
{
    struct text *text = *state;
    text_add_chars(text, "lock ");
    text_add(text, "message/42", 7);
    text_add_char(text, '/');
    text_addf(text, "%d of %s", 42, "many");
    assert_string_equal(text_chars(text), "lock message/42 of many");
    assert_int_equal(text->length, strlen("lock message/42 of many"));
}

static void a_byte_of_zero_is_a_byte(void **state)
{
    struct text *text = *state;
    text_add(text, "a\0b", 3);
    assert_int_equal(text->length, 3);
    assert_memory_equal(text_chars(text), "a\0b", 4);
}

static void it_grows_to_its_limit_and_no_further(void **state)
{
    struct text *text = *state;
    struct fault fault;
    for (int i = 0; i < 1000; i++)
        text_add_char(text, 'a');
    assert_true(text_ok(text, &fault));
    assert_int_equal(text->length, 1000);
    text_add_char(text, 'b');
    assert_false(text_ok(text, &fault));
    assert_int_equal(fault.kind, FAULT_EXHAUSTED);
    assert_int_equal(text->length, 1000);
}

static void after_a_failure_additions_are_ignored(void **state)
{
    struct text *text = *state;
    struct fault fault;
    text_add_chars(text, "kept");
    text_addf(text, "%2000d", 1);
    text_add_chars(text, "ignored");
    assert_false(text_ok(text, &fault));
    assert_string_equal(text_chars(text), "kept");
    assert_null(text_take(text));
}

static void a_huge_length_does_not_wrap_around(void **state)
{
    struct text *text = *state;
    struct fault fault;
    text_add_chars(text, "ab");
    text_add(text, "x", SIZE_MAX);
    assert_false(text_ok(text, &fault));
    text_clear(text);
    text_add(text, "x", SIZE_MAX - 1);
    assert_false(text_ok(text, &fault));
}

static void clearing_forgets_the_content_and_the_failure(void **state)
{
    struct text *text = *state;
    struct fault fault;
    text_add_chars(text, "old");
    text_addf(text, "%2000d", 1);
    text_clear(text);
    assert_string_equal(text_chars(text), "");
    assert_true(text_ok(text, &fault));
    text_add_chars(text, "new");
    assert_string_equal(text_chars(text), "new");
}

static void cutting_goes_back_and_never_forth(void **state)
{
    struct text *text = *state;
    text_add_chars(text, "message/42");
    text_cut(text, 100);
    assert_string_equal(text_chars(text), "message/42");
    text_cut(text, 7);
    assert_string_equal(text_chars(text), "message");
    text_add_chars(text, "s");
    assert_string_equal(text_chars(text), "messages");
}

static void taking_leaves_an_empty_text_of_the_same_limit(void **state)
{
    struct text *text = *state;
    struct fault fault;
    text_add_chars(text, "mine");
    char *mine = text_take(text);
    assert_string_equal(mine, "mine");
    free(mine);
    assert_string_equal(text_chars(text), "");
    char *nothing = text_take(text);
    assert_string_equal(nothing, "");
    free(nothing);
    text_addf(text, "%1001d", 1);
    assert_false(text_ok(text, &fault));
}

static void a_format_is_filled_as_printf_does(void **state)
{
    struct text *text = *state;
    text_addf(text, "%s%s = $%d%%", ", ", "a", -12);
    assert_string_equal(text_chars(text), ", a = $-12%");
    text_clear(text);
    text_addf(text, "no field");
    text_addf(text, "|%d|%.2f|%s", 1, 1.5, "x");
    text_addf(text, "|%5d|%.1s", 1, "xyz");
    assert_string_equal(text_chars(text), "no field|1|1.50|x|    1|x");
}

static void a_simple_format_stops_at_the_limit(void **state)
{
    struct text text;
    struct fault fault;
    (void)state;
    text_init(&text, 4);
    text_addf(&text, "%s%d", "abc", 12);
    assert_false(text_ok(&text, &fault));
    text_done(&text);
}

#define WITH_TEXT(test) cmocka_unit_test_setup_teardown(test, open_text, close_text)

int text_tests(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TEXT(an_empty_text_is_a_string_too),
        WITH_TEXT(additions_follow_each_other),
        WITH_TEXT(a_byte_of_zero_is_a_byte),
        WITH_TEXT(it_grows_to_its_limit_and_no_further),
        WITH_TEXT(after_a_failure_additions_are_ignored),
        WITH_TEXT(a_huge_length_does_not_wrap_around),
        WITH_TEXT(clearing_forgets_the_content_and_the_failure),
        WITH_TEXT(cutting_goes_back_and_never_forth),
        WITH_TEXT(a_format_is_filled_as_printf_does),
        cmocka_unit_test(a_simple_format_stops_at_the_limit),
        WITH_TEXT(taking_leaves_an_empty_text_of_the_same_limit),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
