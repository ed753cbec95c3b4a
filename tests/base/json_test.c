#include "base_tests.h"
#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Reads and writes again. NULL when it is refused. Yours to free. */
static char *again(const char *text, size_t n_bytes, struct fault *fault)
{
    json_t *value = NULL;
    if (!json_read("input", text, n_bytes, &value, fault)) {
        assert_null(value);
        assert_int_equal(fault->kind, FAULT_INVALID);
        return NULL;
    }
    char *written = json_write(value);
    json_decref(value);
    assert_non_null(written);
    return written;
}

static void becomes(const char *text, const char *expected)
{
    struct fault fault;
    char *written = again(text, strlen(text), &fault);
    if (!written)
        fail_msg("%s: %s", text, fault.text);
    assert_string_equal(written, expected);
    free(written);
}

static void is_refused(const char *text, const char *words)
{
    struct fault fault;
    char *written = again(text, strlen(text), &fault);
    if (written)
        fail_msg("%s was read as %s", text, written);
    if (!strstr(fault.text, words))
        fail_msg("\"%s\" does not say \"%s\"", fault.text, words);
}

static void any_value_may_stand_alone(void **state)
{
    (void)state;
    becomes("null", "null");
    becomes(" 7 ", "7");
    becomes("\"a\"", "\"a\"");
    becomes("[]", "[]");
    becomes("{}", "{}");
}

static void it_is_written_in_one_line_in_the_order_of_the_keys(void **state)
{
    (void)state;
    becomes("{ \"b\": 1,\n  \"a\": [true, false, null] }", "{\"b\":1,\"a\":[true,false,null]}");
}

static void integers_stay_apart_from_reals(void **state)
{
    (void)state;
    becomes("[42, 42.0, 9223372036854775807]", "[42,42.0,9223372036854775807]");
    is_refused("9223372036854775808", "out of range");
}

static void text_keeps_every_character(void **state)
{
    (void)state;
    becomes("\"\\u00e4\\ud83d\\ude00\\u0000\\n\"", "\"\xc3\xa4\xf0\x9f\x98\x80\\u0000\\n\"");
}

static void what_is_no_json_is_refused_with_its_place(void **state)
{
    (void)state;
    is_refused("", "input: line 1, column");
    is_refused("{\"a\": 1,\n \"b\" 2}", "input: line 2, column 6");
    is_refused("[1,]", "input: line 1");
    is_refused("NaN", "invalid token");
    is_refused("'a'", "invalid token");
    is_refused("1 2", "end of file expected");
}

static void a_key_twice_is_refused(void **state)
{
    (void)state;
    is_refused("{\"a\":1,\"a\":2}", "duplicate");
}

static void bytes_that_are_no_utf8_are_refused(void **state)
{
    (void)state;
    is_refused("\"\xff\"", "unable to decode byte 0xff");
    is_refused("\"\xc0\x80\"", "unable to decode byte 0xc0");
    is_refused("\"\\ud800\"", "invalid Unicode");
}

static void no_byte_behind_the_length_is_read(void **state)
{
    struct fault fault;
    (void)state;
    char *written = again("[1]garbage", 3, &fault);
    assert_non_null(written);
    assert_string_equal(written, "[1]");
    free(written);
}

static void nesting_has_a_limit(void **state)
{
    struct fault fault;
    char text[2 * (JSON_DEPTH_MAX + 1)];
    (void)state;
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    assert_null(again(text, sizeof text, &fault));
    assert_non_null(strstr(fault.text, "line 1, column 65: nested deeper than 64"));
    char *written = again(text + 1, sizeof text - 2, &fault);
    assert_non_null(written);
    free(written);
}

static void brackets_in_texts_and_side_by_side_are_no_depth(void **state)
{
    char text[8 * JSON_DEPTH_MAX];
    struct fault fault;
    size_t n = 0;
    (void)state;
    text[n++] = '[';
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        memcpy(text + n, "{},[],", 6);
        n += 6;
    }
    text[n - 1] = ']';
    char *written = again(text, n, &fault);
    assert_non_null(written);
    free(written);
    n = 0;
    text[n++] = '"';
    memcpy(text + n, "\\\"", 2);
    n += 2;
    memset(text + n, '[', JSON_DEPTH_MAX + 1);
    n += JSON_DEPTH_MAX + 1;
    text[n++] = '"';
    written = again(text, n, &fault);
    assert_non_null(written);
    free(written);
}

int json_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_value_may_stand_alone),
        cmocka_unit_test(it_is_written_in_one_line_in_the_order_of_the_keys),
        cmocka_unit_test(integers_stay_apart_from_reals),
        cmocka_unit_test(text_keeps_every_character),
        cmocka_unit_test(what_is_no_json_is_refused_with_its_place),
        cmocka_unit_test(a_key_twice_is_refused),
        cmocka_unit_test(bytes_that_are_no_utf8_are_refused),
        cmocka_unit_test(no_byte_behind_the_length_is_read),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(brackets_in_texts_and_side_by_side_are_no_depth),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
