#include "base_tests.h"
#include "json.h"
#include "utf8.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
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
    becomes("\"\\\"\\\\\\/\\b\\f\\r\\t\\u001f\\u007f\"", "\"\\\"\\\\/\\b\\f\\r\\t\\u001F\x7f\"");
    becomes("{\"a\\nb\": \"\"}", "{\"a\\nb\":\"\"}");
}

static void reals_are_written_with_the_fewest_digits(void **state)
{
    (void)state;
    becomes("[1.1, 0.30000000000000004, 1.10, 26.0, 0.001, 51.798, 0.0, -0.0, -1.5]",
            "[1.1,0.30000000000000004,1.1,26.0,0.001,51.798,0.0,-0.0,-1.5]");
    becomes("[99999999999.999, 100000000000.001, 123456789012345678.0, 0.0005, 1e5, 100e18, 1e-7]",
            "[99999999999.999,100000000000.001,1.2345678901234568e17,0.0005,100000.0,1e20,1e-7]");
    becomes("[2.2250738585072014e-308, 1.7976931348623157e308, 3.3333333333333335]",
            "[2.2250738585072014e-308,1.7976931348623157e308,3.3333333333333335]");
}

/* Every one of them, and what jansson reads from it. */
static void milliseconds_are_read_back_the_same(void **state)
{
    struct fault fault;
    (void)state;
    for (int64_t us = 0; us < INT64_C(90000000000000); us += us / 1000 + 1) {
        char by_printf[40];
        json_t *value = json_real((double)us / 1000), *back = NULL;
        char *written = json_write(value);
        assert_non_null(written);
        assert_true(json_read("it", written, strlen(written), &back, &fault));
        assert_true(json_is_real(back) && json_equal(value, back));
        snprintf(by_printf, sizeof by_printf, "%.15g%s", (double)us / 1000, us % 1000 ? "" : ".0");
        assert_string_equal(written, by_printf);
        free(written);
        json_decref(value);
        json_decref(back);
    }
}

static void another_locale_changes_nothing(void **state)
{
    (void)state;
    for (const char **name = (const char *[]){"de_DE.UTF-8", "fr_FR.UTF-8", "ps_AF.UTF-8", NULL};
         *name; name++) {
        setlocale(LC_ALL, *name); /* it may not be installed */
        becomes("[1.5,0.30000000000000004,1e-7]", "[1.5,0.30000000000000004,1e-7]");
    }
    setlocale(LC_ALL, "C");
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
    is_refused("{\"a\": 1", "line 1, column 8: '}' expected near end of file");
    is_refused("{\"a\": 1 \"b\"", "line 1, column 9: '}' expected near '\"'");
    is_refused("\"a\nb\"", "line 1, column 3: control character 0xa");
    is_refused("[tru]", "line 1, column 2: invalid token near 'tru'");
    is_refused("[01]", "line 1, column 2: invalid token near '01'");
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

/* ---- beside jansson's own reader ---- */

static void is_read_alike(const char *text, size_t n_bytes)
{
    struct fault fault;
    json_t *ours = NULL;
    json_t *theirs =
        json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL,
                   /* error= */ NULL);
    bool read = json_read("input", text, n_bytes, &ours, &fault);
    if (read != (theirs != NULL) || (read && !json_equal(ours, theirs)))
        fail_msg("%.*s: %s", (int)n_bytes, text, read ? "read otherwise" : fault.text);
    if (!read &&
        utf8_prefix(fault.text, strlen(fault.text), strlen(fault.text)) < strlen(fault.text))
        fail_msg("its refusal is no UTF-8");
    json_decref(ours);
    json_decref(theirs);
}

/* Cut off anywhere; each byte left out, and each made another one. */
static void it_takes_and_refuses_what_jansson_does(void **state)
{
    static const char *const texts[] = {
        "{\"a\": [1, -2.50, 0, -0, -0.0, 1e5, 1E+05, 12.5e-3], \"b\": {\"c\": null, \"d\": true}}",
        "[false, \"plain\", \"\\u00e9\\uD83D\\uDE00\\u0000 \\\" \\\\ \\/ \\b\\f\\n\\r\\t\"]",
        (" \t\r\n{\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\": \"\xed\x9f\xbf\xee\x80\x80\", "
         "\"\": []} "),
        "[9223372036854775807, -9223372036854775808, 1.7976931348623157e308, 4.9e-324, 1e-400]",
        "[9223372036854775808]",
        "[-9223372036854775809]",
        "[1.8e308]",
        "[1e99999]",
        "[-1e400]",
        "{\"a\\u0000b\": 1}",
        "{\"k\": 1, \"k\": 2}",
        "{\"k\": {\"k\": 1}}",
        "\xef\xbb\xbf[]",
    };
    static const char bytes[] =
        "{}[]:,\"\\/-+.0129eEuntfbD \n\t\x01\x7f\x80\xbf\xc0\xc3\xe2\xed\xf4\xff";
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t n = strlen(texts[i]);
        char copy[200];
        assert_true(n < sizeof copy);
        for (size_t at = 0; at <= n; at++) {
            is_read_alike(texts[i], at);
            memcpy(copy, texts[i], n);
            if (at < n)
                memmove(copy + at, copy + at + 1, n - at - 1);
            is_read_alike(copy, at < n ? n - 1 : n);
            for (size_t b = 0; at < n && b < sizeof bytes - 1; b++) {
                memcpy(copy, texts[i], n);
                copy[at] = bytes[b];
                is_read_alike(copy, n);
            }
        }
    }
}

static void *watching_malloc(size_t n_bytes)
{
    json_malloc_t now;
    json_free_t release;
    json_get_alloc_funcs(&now, &release);
    assert_true(now == watching_malloc);
    return malloc(n_bytes);
}

/* It may be the program's that we are a part of. */
/* jansson passes over it. */
static void a_zero_byte_is_no_space(void **state)
{
    struct fault fault;
    (void)state;
    assert_null(again("[1\0]", 4, &fault));
    assert_non_null(strstr(fault.text, "line 1, column 3: control character 0x0"));
    assert_null(again("[]\0", 3, &fault));
    assert_null(again("\"a\0b\"", 5, &fault));
}

static void the_allocator_of_the_process_is_left_alone(void **state)
{
    json_malloc_t real;
    json_free_t release;
    (void)state;
    json_get_alloc_funcs(&real, &release);
    json_set_alloc_funcs(watching_malloc, free);
    becomes("[{\"a\": 1.1}, \"a text that is longer than sixteen bytes\", 12345678901234567]",
            "[{\"a\":1.1},\"a text that is longer than sixteen bytes\",12345678901234567]");
    json_set_alloc_funcs(real, release);
}

static void the_locale_changes_no_number(void **state)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "nl_NL.UTF-8"};
    bool found = false;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++)
        found = setlocale(LC_NUMERIC, names[i]) != NULL;
    if (!found)
        skip();
    becomes("[1.5, -2.25e3, 7]", "[1.5,-2250.0,7]");
    setlocale(LC_NUMERIC, "C");
}

int json_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_value_may_stand_alone),
        cmocka_unit_test(it_is_written_in_one_line_in_the_order_of_the_keys),
        cmocka_unit_test(integers_stay_apart_from_reals),
        cmocka_unit_test(text_keeps_every_character),
        cmocka_unit_test(reals_are_written_with_the_fewest_digits),
        cmocka_unit_test(milliseconds_are_read_back_the_same),
        cmocka_unit_test(another_locale_changes_nothing),
        cmocka_unit_test(what_is_no_json_is_refused_with_its_place),
        cmocka_unit_test(a_key_twice_is_refused),
        cmocka_unit_test(bytes_that_are_no_utf8_are_refused),
        cmocka_unit_test(no_byte_behind_the_length_is_read),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(brackets_in_texts_and_side_by_side_are_no_depth),
        cmocka_unit_test(it_takes_and_refuses_what_jansson_does),
        cmocka_unit_test(a_zero_byte_is_no_space),
        cmocka_unit_test(the_allocator_of_the_process_is_left_alone),
        cmocka_unit_test(the_locale_changes_no_number),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
