#include "base_tests.h"
#include "duration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    const char *text;
    enum duration_slip slip;
    int64_t ms;
} cases[] = {
    {"0s", DURATION_FINE, 0},
    {"500ms", DURATION_FINE, 500},
    {"30s", DURATION_FINE, 30000},
    {"10m", DURATION_FINE, 600000},
    {"2h", DURATION_FINE, 7200000},
    {"30d", DURATION_FINE, (int64_t)30 * 24 * 3600 * 1000},
    {"30", DURATION_NO_UNIT, 0},
    {"", DURATION_NONE, 0},
    {"s", DURATION_NONE, 0},
    {"-1s", DURATION_NONE, 0},
    {"1 s", DURATION_NONE, 0},
    {"1.5s", DURATION_NONE, 0},
    {"1w", DURATION_NONE, 0},
    {"1S", DURATION_NONE, 0},
    {"9223372036854775807ms", DURATION_TOO_LARGE, 0}, /* near the limit is over it */
    {"99999999999999999999d", DURATION_TOO_LARGE, 0},
    {"106751991168d", DURATION_TOO_LARGE, 0},
};

static void a_duration_has_a_whole_number_and_a_unit(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = 0;
        enum duration_slip slip = duration_read(cases[i].text, &ms);
        if (slip != cases[i].slip || ms != cases[i].ms)
            fail_msg("%s: slip %d, %lld ms", cases[i].text, (int)slip, (long long)ms);
    }
}

static void a_duration_is_written_in_its_largest_unit(void **state)
{
    char text[32];
    (void)state;
    duration_write(90 * 1000, text, sizeof text);
    assert_string_equal(text, "90s");
    duration_write((int64_t)48 * 3600 * 1000, text, sizeof text);
    assert_string_equal(text, "2d");
    duration_write(0, text, sizeof text);
    assert_string_equal(text, "0s");
}

int duration_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_duration_has_a_whole_number_and_a_unit),
        cmocka_unit_test(a_duration_is_written_in_its_largest_unit),
    };
    return cmocka_run_group_tests_name("duration", tests, NULL, NULL);
}
