#include "database_tests.h"
#include "pg_pipeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
    *state = pg_pipeline_new();
    return *state ? 0 : 1;
}

static int tear_down(void **state)
{
    pg_pipeline_free(*state);
    return 0;
}

static void statements_keep_their_order_texts_and_parameters(void **state)
{
    struct pg_pipeline *pipeline = *state;
    struct pg_statement read;
    char text[] = "SELECT $1, $2, $3";
    char one[] = "one";
    assert_int_equal(
        pg_pipeline_add(pipeline, PG_PREPARED, text, 3, (const char *const[]){one, NULL, ""}), 0);
    assert_int_equal(pg_pipeline_add(pipeline, PG_UNNAMED, "SELECT 1", 0, NULL), 1);
    memset(text, 'x', sizeof text - 1); /* both were copied */
    memset(one, 'x', sizeof one - 1);
    assert_int_equal(pg_pipeline_length(pipeline), 2);
    assert_true(pg_pipeline_ok(pipeline));
    pg_pipeline_read(pipeline, 0, &read);
    assert_int_equal(read.prepare, PG_PREPARED);
    assert_string_equal(read.text, "SELECT $1, $2, $3");
    assert_int_equal(read.n_params, 3);
    assert_string_equal(read.params[0], "one");
    assert_null(read.params[1]);
    assert_string_equal(read.params[2], "");
    pg_pipeline_read(pipeline, 1, &read);
    assert_int_equal(read.prepare, PG_UNNAMED);
    assert_string_equal(read.text, "SELECT 1");
    assert_int_equal(read.n_params, 0);
}

static void many_statements_survive_growth(void **state)
{
    struct pg_pipeline *pipeline = *state;
    struct pg_statement read;
    char number[16];
    const char *params[] = {number, NULL};
    for (int i = 0; i < 5000; i++) {
        snprintf(number, sizeof number, "%d", i);
        assert_int_equal(pg_pipeline_add(pipeline, PG_PREPARED, number, 2, params), i);
    }
    assert_true(pg_pipeline_ok(pipeline));
    for (int i = 0; i < 5000; i++) {
        snprintf(number, sizeof number, "%d", i);
        pg_pipeline_read(pipeline, i, &read);
        assert_string_equal(read.text, number);
        assert_string_equal(read.params[0], number);
        assert_null(read.params[1]);
    }
}

static void a_cleared_pipeline_is_empty_and_sound(void **state)
{
    struct pg_pipeline *pipeline = *state;
    struct pg_statement read;
    pg_pipeline_add(pipeline, PG_PREPARED, "SELECT 1", 0, NULL);
    pg_pipeline_clear(pipeline);
    assert_int_equal(pg_pipeline_length(pipeline), 0);
    assert_int_equal(pg_pipeline_add(pipeline, PG_UNNAMED, "SELECT 2", 0, NULL), 0);
    pg_pipeline_read(pipeline, 0, &read);
    assert_string_equal(read.text, "SELECT 2");
}

static void a_pipeline_beyond_its_limits_is_not_ok_until_cleared(void **state)
{
    struct pg_pipeline *pipeline = *state;
    for (int i = 0; i < 20000; i++)
        pg_pipeline_add(pipeline, PG_PREPARED, "SELECT 1", 0, NULL);
    assert_true(pg_pipeline_ok(pipeline));
    pg_pipeline_add(pipeline, PG_PREPARED, "SELECT 1", 0, NULL);
    assert_false(pg_pipeline_ok(pipeline));
    pg_pipeline_clear(pipeline);
    assert_true(pg_pipeline_ok(pipeline));
}

static void a_pipeline_of_too_many_bytes_is_not_ok(void **state)
{
    struct pg_pipeline *pipeline = *state;
    size_t n_bytes = 65 << 20;
    char *big = malloc(n_bytes + 1);
    assert_non_null(big);
    memset(big, 'x', n_bytes);
    big[n_bytes] = '\0';
    for (int i = 0; i < 4; i++)
        pg_pipeline_add(pipeline, PG_UNNAMED, "SELECT $1", 1, (const char *const[]){big});
    free(big);
    assert_false(pg_pipeline_ok(pipeline));
}

static void freeing_nothing_is_fine(void **state)
{
    (void)state;
    pg_pipeline_free(NULL);
}

int pg_pipeline_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(statements_keep_their_order_texts_and_parameters, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(many_statements_survive_growth, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cleared_pipeline_is_empty_and_sound, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pipeline_beyond_its_limits_is_not_ok_until_cleared,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pipeline_of_too_many_bytes_is_not_ok, set_up, tear_down),
        cmocka_unit_test(freeing_nothing_is_fine),
    };
    return cmocka_run_group_tests_name("pg_pipeline", tests, NULL, NULL);
}
