#include "base_tests.h"
#include "number_text.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const int64_t integers[] = {0,   1,    -1,    9,     10,    -10,       999,      1000,
                                   123, 1234, -1234, 99999, 65536, INT64_MAX, INT64_MIN};

static void an_integer_is_written_as_printf_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        char expected[NUMBER_TEXT_BYTES], found[NUMBER_TEXT_BYTES];
        snprintf(expected, sizeof expected, "%" PRId64, integers[i]);
        *number_text_int(found, integers[i]) = '\0';
        assert_string_equal(found, expected);
    }
}

static void thousandths_have_three_digits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        char expected[NUMBER_TEXT_BYTES + 1], found[NUMBER_TEXT_BYTES];
        int64_t rest = integers[i] % 1000;
        snprintf(expected, sizeof expected, "%s%" PRIu64 ".%03d", integers[i] < 0 ? "-" : "",
                 (integers[i] < 0 ? -(uint64_t)integers[i] : (uint64_t)integers[i]) / 1000,
                 abs((int)rest));
        *number_text_milli(found, integers[i]) = '\0';
        assert_string_equal(found, expected);
    }
}

static void hexadecimal_digits_have_their_width(void **state)
{
    char found[NUMBER_TEXT_BYTES];
    (void)state;
    *number_text_hex(found, 0xbeef, 8) = '\0';
    assert_string_equal(found, "0000beef");
    *number_text_hex(found, 0x123456789abcdef0, 16) = '\0';
    assert_string_equal(found, "123456789abcdef0");
    *number_text_hex(found, 0x12345, 3) = '\0';
    assert_string_equal(found, "345");
}

int number_text_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_integer_is_written_as_printf_does),
        cmocka_unit_test(thousandths_have_three_digits),
        cmocka_unit_test(hexadecimal_digits_have_their_width),
    };
    return cmocka_run_group_tests_name("number_text", tests, NULL, NULL);
}
