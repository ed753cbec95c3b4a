#include "base_tests.h"
#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/time.h>
#include <time.h>

#include <cmocka.h>

static void the_monotonic_clock_counts_microseconds(void **state)
{
    (void)state;
    int64_t before = clock_monotonic_us();
    nanosleep(&(struct timespec){.tv_nsec = 20 * 1000000L}, NULL);
    int64_t passed = clock_monotonic_us() - before;
    assert_in_range(passed, 20000, 5000000);
}

static void the_wall_clock_is_that_of_the_system(void **state)
{
    (void)state;
    time_t before = time(NULL);
    int64_t now = clock_wall_us();
    assert_in_range(now, (int64_t)before * 1000000, ((int64_t)time(NULL) + 1) * 1000000);
}

static void a_duration_becomes_seconds_and_microseconds(void **state)
{
    (void)state;
    struct timeval tv = clock_timeval_us(12345678);
    assert_int_equal(tv.tv_sec, 12);
    assert_int_equal(tv.tv_usec, 345678);
    tv = clock_timeval_us(999999);
    assert_int_equal(tv.tv_sec, 0);
    assert_int_equal(tv.tv_usec, 999999);
}

static void a_negative_duration_becomes_nothing(void **state)
{
    (void)state;
    struct timeval tv = clock_timeval_us(-1);
    assert_int_equal(tv.tv_sec, 0);
    assert_int_equal(tv.tv_usec, 0);
    tv = clock_timeval_us(INT64_MIN);
    assert_int_equal(tv.tv_sec, 0);
    assert_int_equal(tv.tv_usec, 0);
}

static void jitter_spreads_over_zero_to_one(void **state)
{
    (void)state;
    int n_low = 0;
    for (int i = 0; i < 1000; i++) {
        double jitter = clock_jitter();
        assert_true(jitter >= 0 && jitter < 1);
        n_low += jitter < 0.5;
    }
    assert_in_range(n_low, 350, 650); /* nine deviations from the mean */
}

int clock_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_monotonic_clock_counts_microseconds),
        cmocka_unit_test(the_wall_clock_is_that_of_the_system),
        cmocka_unit_test(a_duration_becomes_seconds_and_microseconds),
        cmocka_unit_test(a_negative_duration_becomes_nothing),
        cmocka_unit_test(jitter_spreads_over_zero_to_one),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
