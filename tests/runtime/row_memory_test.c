/* The memory of rows by itself. */
#include "row_memory.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
    struct fault fault;
    struct row_memory *memory;
    if (!row_memory_new(&memory, &fault))
        return -1;
    *state = memory;
    return 0;
}

static int tear_down(void **state)
{
    row_memory_free(*state);
    return 0;
}

/* One line of one value. */
static PGresult *row_of(const char *value, int n_bytes)
{
    PGresult *row = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc column = {.name = (char[]){"value"}, .typlen = -1};
    assert_non_null(row);
    assert_true(PQsetResultAttrs(row, 1, &column));
    assert_true(PQsetvalue(row, 0, 0, (char *)value, n_bytes));
    return row;
}

static void note(struct row_memory *memory, const char *key, int64_t now_us, const char *value,
                 int64_t read_us)
{
    row_memory_note(memory, key, now_us, row_of(value, (int)strlen(value)), read_us);
}

static void assert_found(struct row_memory *memory, const char *key, int64_t since_us,
                         const char *value, int64_t read_us)
{
    int64_t found_us = -1;
    const PGresult *row = row_memory_find(memory, key, since_us, &found_us);
    assert_non_null(row);
    assert_string_equal(PQgetvalue(row, 0, 0), value);
    assert_int_equal(found_us, read_us);
}

static void assert_unknown(struct row_memory *memory, const char *key, int64_t since_us)
{
    int64_t read_us = -1;
    assert_null(row_memory_find(memory, key, since_us, &read_us));
    assert_int_equal(read_us, -1);
}

static void an_empty_memory_knows_nothing(void **state)
{
    assert_unknown(*state, "a", INT64_MIN);
    assert_false(row_memory_noted(*state, "a", INT64_MIN));
    row_memory_forget(*state, "a");
}

static void what_was_noted_without_a_row_has_none(void **state)
{
    row_memory_note(*state, "a", 100, NULL, 0);
    assert_true(row_memory_noted(*state, "a", 100));
    assert_false(row_memory_noted(*state, "a", 101));
    assert_unknown(*state, "a", INT64_MIN);
}

/* Noted and read are two times: a row that is saved again and again is as old as its load. */
static void a_row_is_as_old_as_its_load(void **state)
{
    note(*state, "a", 200, "one", 100);
    assert_true(row_memory_noted(*state, "a", 200));
    assert_found(*state, "a", 100, "one", 100);
    assert_unknown(*state, "a", 101);
    note(*state, "a", 300, "two", 100);
    assert_true(row_memory_noted(*state, "a", 300));
    assert_found(*state, "a", 100, "two", 100);
    assert_unknown(*state, "a", 101);
}

static void a_row_is_replaced_also_by_none(void **state)
{
    note(*state, "a", 1, "one", 1);
    note(*state, "a", 2, "two", 2);
    assert_found(*state, "a", 0, "two", 2);
    row_memory_note(*state, "a", 3, NULL, 0);
    assert_unknown(*state, "a", INT64_MIN);
    assert_true(row_memory_noted(*state, "a", 3));
}

static void what_is_forgotten_is_unknown(void **state)
{
    note(*state, "a", 1, "one", 1);
    row_memory_forget(*state, "b");
    assert_found(*state, "a", 0, "one", 1);
    row_memory_forget(*state, "a");
    assert_unknown(*state, "a", INT64_MIN);
    assert_false(row_memory_noted(*state, "a", INT64_MIN));
}

static void a_large_row_is_not_kept_nor_the_one_before(void **state)
{
    enum { LARGE = 9 << 10 };
    char *large = calloc(1, LARGE + 1);
    assert_non_null(large);
    memset(large, 'x', LARGE);
    note(*state, "a", 1, "one", 1);
    row_memory_note(*state, "a", 2, row_of(large, LARGE), 2);
    free(large);
    assert_unknown(*state, "a", INT64_MIN);
    assert_false(row_memory_noted(*state, "a", 2)); /* it is not asked for again soon */
    row_memory_note(*state, "a", 3, NULL, 0);
    assert_false(row_memory_noted(*state, "a", 2));
    assert_true(row_memory_noted(*state, "a", 3));
    note(*state, "a", 4, "two", 4);
    assert_found(*state, "a", 0, "two", 4);
    assert_true(row_memory_noted(*state, "a", 2));
}

/* More keys than places: each finds its own row or none, and the last of all its own. */
static void who_comes_to_a_place_that_is_taken_takes_it(void **state)
{
    enum { KEYS = 2000 };
    char key[24];
    int n_found = 0;
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "7,0|1:%d", i);
        note(*state, key, i, key, i);
        assert_found(*state, key, 0, key, i);
    }
    for (int i = 0; i < KEYS; i++) {
        int64_t read_us;
        snprintf(key, sizeof key, "7,0|1:%d", i);
        const PGresult *row = row_memory_find(*state, key, 0, &read_us);
        assert_true(row_memory_noted(*state, key, i) == (row != NULL));
        if (!row)
            continue;
        n_found++;
        assert_string_equal(PQgetvalue(row, 0, 0), key);
        assert_int_equal(read_us, i);
    }
    assert_true(n_found > 1 && n_found < KEYS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int row_memory_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_memory_knows_nothing),
        TEST(what_was_noted_without_a_row_has_none),
        TEST(a_row_is_as_old_as_its_load),
        TEST(a_row_is_replaced_also_by_none),
        TEST(what_is_forgotten_is_unknown),
        TEST(a_large_row_is_not_kept_nor_the_one_before),
        TEST(who_comes_to_a_place_that_is_taken_takes_it),
    };
    return cmocka_run_group_tests_name("row_memory", tests, NULL, NULL);
}
