#include "server_tests.h"

#include "run_totals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
    struct run_totals *totals = malloc(sizeof *totals);
    if (!totals)
        return 1;
    run_totals_init(totals);
    *state = totals;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

/* At most by the width of a bucket above the true value, never below it. */
static void expect_near(double value, double truth)
{
    if (value < truth || value > truth * 1.016 + 0.001) {
        print_error("%f is not near %f\n", value, truth);
        fail();
    }
}

static void percentiles_are_near_the_truth(void **state)
{
    struct run_totals *totals = *state;
    for (int us = 1; us <= 100000; us++)
        run_totals_add(totals, STATUS_COMPLETED, us, NULL);
    expect_near(run_totals_percentile_ms(totals, 0.5), 50);
    expect_near(run_totals_percentile_ms(totals, 0.9), 90);
    expect_near(run_totals_percentile_ms(totals, 0.99), 99);
    expect_near(run_totals_percentile_ms(totals, 1), 100);
    expect_near(run_totals_percentile_ms(totals, 0.00005), 0.005);
}

static void no_percentile_is_above_the_longest(void **state)
{
    struct run_totals *totals = *state;
    run_totals_add(totals, STATUS_COMPLETED, 1000001, NULL);
    assert_true(run_totals_percentile_ms(totals, 0.5) == 1000.001);
}

static void any_latency_has_a_bucket(void **state)
{
    struct run_totals *totals = *state;
    run_totals_add(totals, STATUS_COMPLETED, 0, NULL);
    run_totals_add(totals, STATUS_COMPLETED, INT64_MAX / 2, NULL);
    assert_true(run_totals_percentile_ms(totals, 0.5) == 0);
    assert_true(run_totals_percentile_ms(totals, 1) > 0);
}

static void what_was_not_measured_counts_but_has_no_latency(void **state)
{
    struct run_totals *totals = *state;
    run_totals_add(totals, STATUS_UNKNOWN, -1, "died");
    run_totals_add_many(totals, STATUS_FAILED, 7, "never ran");
    assert_int_equal(run_totals_count(totals), 8);
    assert_true(run_totals_percentile_ms(totals, 0.99) == 0);
}

static void the_exit_code_is_of_the_gravest_status(void **state)
{
    struct run_totals *totals = *state;
    assert_int_equal(run_totals_exit_code(totals), 0);
    run_totals_add(totals, STATUS_COMPLETED, 1, NULL);
    run_totals_add(totals, STATUS_IDLE, 1, NULL);
    assert_int_equal(run_totals_exit_code(totals), 0);
    run_totals_add(totals, STATUS_BLOCKED, 1, NULL);
    assert_int_equal(run_totals_exit_code(totals), 4);
    run_totals_add(totals, STATUS_LOCKED, 1, NULL);
    assert_int_equal(run_totals_exit_code(totals), 3);
    run_totals_add(totals, STATUS_EXPIRED, 1, NULL);
    assert_int_equal(run_totals_exit_code(totals), 1);
    run_totals_add(totals, STATUS_MISSING, 1, NULL);
    assert_int_equal(run_totals_exit_code(totals), 5);
    run_totals_add(totals, STATUS_INVALID, 1, NULL);
    assert_int_equal(run_totals_exit_code(totals), 2);
    run_totals_add(totals, STATUS_UNKNOWN, 1, NULL);
    assert_int_equal(run_totals_exit_code(totals), 75);
}

static void json_has_every_status_in_the_documented_order(void **state)
{
    struct run_totals *totals = *state;
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    totals->started_us = 1000000;
    totals->ended_us = 3000000;
    for (int i = 0; i < 10; i++)
        run_totals_add(totals, STATUS_COMPLETED, 100, NULL);
    run_totals_add(totals, STATUS_LOCKED, 100, "no");
    run_totals_print_json(totals, out);
    fclose(out);
    assert_string_equal(
        text, "{\"count\":11,\"completed\":10,\"idle\":0,\"queued\":0,\"locked\":1,\"blocked\":0,"
              "\"missing\":0,\"conflict\":0,\"expired\":0,\"failed\":0,\"invalid\":0,\"unknown\":0,"
              "\"seconds\":2.0,\"per_second\":5.5,\"latency_ms\":{\"p50\":0.1,\"p90\":0.1,"
              "\"p99\":0.1,\"max\":0.1}}\n");
    free(text);
}

static void the_first_reason_of_a_status_is_kept(void **state)
{
    struct run_totals *totals = *state;
    run_totals_add(totals, STATUS_FAILED, 1, "first");
    run_totals_add(totals, STATUS_FAILED, 1, "second");
    assert_string_equal(totals->reasons[STATUS_FAILED], "first");
}

int run_totals_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(percentiles_are_near_the_truth),
        TEST(no_percentile_is_above_the_longest),
        TEST(any_latency_has_a_bucket),
        TEST(what_was_not_measured_counts_but_has_no_latency),
        TEST(the_exit_code_is_of_the_gravest_status),
        TEST(json_has_every_status_in_the_documented_order),
        TEST(the_first_reason_of_a_status_is_kept),
    };
    return cmocka_run_group_tests_name("run_totals", tests, NULL, NULL);
}
