#include "decimal.h"
#include "runtime_tests.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void what_numeric_accepts_is_valid(void **state)
{
    static const char *const good[] = {
        "0",    "-1",        "+1",  "1.5",      ".5",        "5.",        "1e3",
        "1E-3", "-1.5e+300", "NaN", "Infinity", "-Infinity", "00012.500",
    };
    static const char *const bad[] = {
        "",     "-",     ".",      "e3",  "1e",    "1e+", " 1",    "1 ",   "1,5",
        "0x10", "1.2.3", "nan(1)", "--1", "1_000", "Inf", "1e5.5", "-NaN",
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(decimal_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(decimal_valid(bad[i], strlen(bad[i])));
    assert_false(decimal_valid("1\0"
                               "2",
                               3));
}

static void the_same_number_may_be_spelt_in_many_ways(void **state)
{
    static const char *const groups[][6] = {
        {"0", "-0", "0.000", "0e9", ".0", "00"},
        {"1.5", "1.50", "+01.5", "15e-1", ".15e1", "0.0015e3"},
        {"-1.5", "-1.50", "-15e-1", "-150.0e-2", "-.15E+1", "-1.5e0"},
        {"15", "15.0", "1.5e1", "0015", "15.", "150e-1"},
        {"0.015", ".015", "15e-3", "1.5e-2", "0.0150", "0.15e-1"},
        {"150", "1.5e2", "150.00", "15e1", "0150", "1500e-1"},
        {"105", "10.5e1", "105.0", "1.05e2", "+105", "1050e-1"},
        {"1e1000000000", "10e999999999", "1e1000000000", "1e1000000000", "1e1000000000",
         "1e1000000000"},
        {"NaN", "NaN", "NaN", "NaN", "NaN", "NaN"},
        {"Infinity", "Infinity", "Infinity", "Infinity", "Infinity", "Infinity"},
        {"-Infinity", "-Infinity", "-Infinity", "-Infinity", "-Infinity", "-Infinity"},
    };
    enum {
        N = sizeof groups / sizeof *groups,
    };
    (void)state;
    for (int i = 0; i < N * 6; i++)
        for (int j = 0; j < N * 6; j++)
            assert_int_equal(decimal_same(groups[i / 6][i % 6], groups[j / 6][j % 6]),
                             i / 6 == j / 6);
}

static void a_prefix_of_digits_is_another_number(void **state)
{
    (void)state;
    assert_false(decimal_same("0.12", "0.123"));
    assert_false(decimal_same("0.123", "0.12"));
    assert_false(decimal_same("12", "123"));
}

static void no_digit_is_lost_in_reading(void **state)
{
    static const struct {
        const char *text;
        enum decimal_fit fit;
        int64_t integer;
        double number;
    } cases[] = {
        {"0", DECIMAL_FITS_INTEGER, 0, 0},
        {"-42", DECIMAL_FITS_INTEGER, -42, 0},
        {"9223372036854775807", DECIMAL_FITS_INTEGER, INT64_MAX, 0},
        {"-9223372036854775808", DECIMAL_FITS_INTEGER, INT64_MIN, 0},
        {"9223372036854775808", DECIMAL_FITS_NEITHER, 0, 0},
        {"10000000000000000000000", DECIMAL_FITS_FLOAT, 0, 1e22},
        {"1.5", DECIMAL_FITS_FLOAT, 0, 1.5},
        {"1.50", DECIMAL_FITS_FLOAT, 0, 1.5},
        {"0.1", DECIMAL_FITS_FLOAT, 0, 0.1},
        {"1.00", DECIMAL_FITS_FLOAT, 0, 1.0},
        {"1234567890123.45", DECIMAL_FITS_FLOAT, 0, 1234567890123.45},
        {"0.1234567890123456789", DECIMAL_FITS_NEITHER, 0, 0},
        {"12345678901234567.89", DECIMAL_FITS_NEITHER, 0, 0},
        {"1e400", DECIMAL_FITS_NEITHER, 0, 0},
        {"1e-400", DECIMAL_FITS_NEITHER, 0, 0},
        {"Infinity", DECIMAL_FITS_FLOAT, 0, INFINITY},
        {"-Infinity", DECIMAL_FITS_FLOAT, 0, -INFINITY},
    };
    int64_t integer;
    double number;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(decimal_read(cases[i].text, &integer, &number), cases[i].fit);
        if (cases[i].fit == DECIMAL_FITS_INTEGER)
            assert_true(integer == cases[i].integer);
        if (cases[i].fit == DECIMAL_FITS_FLOAT)
            assert_true(number == cases[i].number);
    }
    assert_int_equal(decimal_read("NaN", &integer, &number), DECIMAL_FITS_FLOAT);
    assert_true(isnan(number));
}

static void numbers_of_fifteen_digits_are_floats(void **state)
{
    uint64_t random = 88172645463325252u;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[64], shortest[DECIMAL_BUFFER_BYTES];
        int64_t integer;
        double number;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        int64_t digits = (int64_t)(random % 1000000000000000u);
        snprintf(text, sizeof text, "%lld.%llde%d", (long long)(digits / 1000000000),
                 (long long)(1000000000 + digits % 1000000000), (int)(random % 600) - 300);
        enum decimal_fit fit = decimal_read(text, &integer, &number);
        decimal_write(number, shortest);
        assert_int_equal(fit == DECIMAL_FITS_FLOAT, decimal_same(text, shortest));
    }
}

static void a_double_is_written_in_its_shortest_form(void **state)
{
    static const struct {
        double number;
        const char *text;
    } cases[] = {
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e22, "1e+22"},
        {1.0 / 3, "0.3333333333333333"},
        {5e-324, "4.94065645841247e-324"},
        {-2, "-2"},
        {INFINITY, "Infinity"},
        {-INFINITY, "-Infinity"},
        {NAN, "NaN"},
    };
    char text[DECIMAL_BUFFER_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        decimal_write(cases[i].number, text);
        assert_string_equal(text, cases[i].text);
    }
}

int decimal_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_numeric_accepts_is_valid),
        cmocka_unit_test(the_same_number_may_be_spelt_in_many_ways),
        cmocka_unit_test(a_prefix_of_digits_is_another_number),
        cmocka_unit_test(no_digit_is_lost_in_reading),
        cmocka_unit_test(numbers_of_fifteen_digits_are_floats),
        cmocka_unit_test(a_double_is_written_in_its_shortest_form),
    };
    return cmocka_run_group_tests_name("decimal", tests, NULL, NULL);
}
