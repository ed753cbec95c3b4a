/* Columns of which the array holds no more than PostgreSQL needs. */
#include "database_tests.h"
#include "pg_column.h"
#include "postgres_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    LIMIT_BYTES = 1000,
    VALUES_MAX = 5,
};

struct column_case {
    enum pg_column_kind kind;
    int n;
    const char *values[VALUES_MAX];
    const char *array;
};

static void check(const struct column_case *cases, size_t n_cases)
{
    for (size_t i = 0; i < n_cases; i++) {
        struct pg_column column;
        pg_column_init(&column, cases[i].kind, LIMIT_BYTES);
        for (int v = 0; v < cases[i].n; v++)
            pg_column_add(&column, cases[i].values[v]);
        assert_string_equal(pg_column_end(&column), cases[i].array);
        assert_false(pg_column_failed(&column));
        pg_column_done(&column);
    }
}

static void each_row_has_its_element(void **state)
{
    static const struct column_case cases[] = {
        {PG_COLUMN_EACH, 0, {NULL}, "{}"},
        {PG_COLUMN_EACH, 1, {"1"}, "{1}"},
        {PG_COLUMN_EACH, 3, {"1", "1", "1"}, "{1,1,1}"},
        {PG_COLUMN_EACH, 3, {NULL, "a", NULL}, "{NULL,\"a\",NULL}"},
    };
    (void)state;
    check(cases, sizeof cases / sizeof *cases);
}

static void what_all_rows_have_in_common_is_told_once(void **state)
{
    static const struct column_case cases[] = {
        {PG_COLUMN_COMMON, 0, {NULL}, "{}"},
        {PG_COLUMN_COMMON, 1, {"7"}, "{7}"},
        {PG_COLUMN_COMMON, 4, {"7", "7", "7", "7"}, "{7}"},
        {PG_COLUMN_COMMON, 3, {"", "", ""}, "{\"\"}"},
        {PG_COLUMN_COMMON, 2, {"a\"b", "a\"b"}, "{\"a\\\"b\"}"},
    };
    (void)state;
    check(cases, sizeof cases / sizeof *cases);
}

static void once_a_row_differs_each_has_its_element(void **state)
{
    static const struct column_case cases[] = {
        {PG_COLUMN_COMMON, 2, {"1", "2"}, "{1,2}"},
        {PG_COLUMN_COMMON, 5, {"1", "1", "1", "2", "1"}, "{1,1,1,2,1}"},
        {PG_COLUMN_COMMON, 4, {"1", "2", "2", "1"}, "{1,2,2,1}"},
        {PG_COLUMN_COMMON, 3, {"", "", "x"}, "{\"\",\"\",\"x\"}"},
        {PG_COLUMN_COMMON, 3, {"x", "xy", "x"}, "{\"x\",\"xy\",\"x\"}"},
    };
    (void)state;
    check(cases, sizeof cases / sizeof *cases);
}

static void nulls_are_left_out_only_if_all_are(void **state)
{
    static const struct column_case cases[] = {
        {PG_COLUMN_NULLABLE, 0, {NULL}, "{}"},
        {PG_COLUMN_NULLABLE, 1, {NULL}, "{}"},
        {PG_COLUMN_NULLABLE, 3, {NULL, NULL, NULL}, "{}"},
        {PG_COLUMN_NULLABLE, 1, {"1"}, "{1}"},
        {PG_COLUMN_NULLABLE, 3, {"1", "1", "1"}, "{1,1,1}"},
        {PG_COLUMN_NULLABLE, 4, {NULL, NULL, "1", NULL}, "{NULL,NULL,1,NULL}"},
        {PG_COLUMN_NULLABLE, 4, {"1", NULL, NULL, "2"}, "{1,NULL,NULL,2}"},
        {PG_COLUMN_NULLABLE, 2, {NULL, "NULL"}, "{NULL,\"NULL\"}"},
    };
    (void)state;
    check(cases, sizeof cases / sizeof *cases);
}

static void numbers_are_told_once_like_texts(void **state)
{
    struct pg_column same, other, each;
    (void)state;
    pg_column_init(&same, PG_COLUMN_COMMON, LIMIT_BYTES);
    pg_column_init(&other, PG_COLUMN_COMMON, LIMIT_BYTES);
    pg_column_init(&each, PG_COLUMN_EACH, LIMIT_BYTES);
    for (int i = 0; i < 3; i++) {
        pg_column_add_int64(&same, INT64_MIN);
        pg_column_add_int64(&other, i < 2 ? -1 : INT64_MAX);
        pg_column_add_int64(&each, i - 1);
    }
    assert_string_equal(pg_column_end(&same), "{-9223372036854775808}");
    assert_string_equal(pg_column_end(&other), "{-1,-1,9223372036854775807}");
    assert_string_equal(pg_column_end(&each), "{-1,0,1}");
    pg_column_done(&same);
    pg_column_done(&other);
    pg_column_done(&each);
}

static void thousandths_keep_their_places(void **state)
{
    static const enum pg_column_kind kinds[] = {PG_COLUMN_EACH, PG_COLUMN_COMMON,
                                                PG_COLUMN_NULLABLE};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct pg_column column;
        pg_column_init(&column, kinds[i], LIMIT_BYTES);
        pg_column_add_milli(&column, 1234);
        pg_column_add_milli(&column, -5);
        pg_column_add_milli(&column, 1234);
        assert_string_equal(pg_column_end(&column), "{1.234,-0.005,1.234}");
        pg_column_done(&column);
    }
    struct pg_column column; /* behind rows that were not written yet */
    pg_column_init(&column, PG_COLUMN_NULLABLE, LIMIT_BYTES);
    pg_column_add(&column, NULL);
    pg_column_add(&column, NULL);
    pg_column_add_milli(&column, 7);
    pg_column_add(&column, NULL);
    assert_string_equal(pg_column_end(&column), "{NULL,NULL,0.007,NULL}");
    pg_column_done(&column);
}

static void more_than_its_limit_is_a_failure_of_a_column(void **state)
{
    static const enum pg_column_kind kinds[] = {PG_COLUMN_EACH, PG_COLUMN_COMMON,
                                                PG_COLUMN_NULLABLE};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int n = 1; n <= 20; n++) {
            struct pg_column column;
            pg_column_init(&column, kinds[i], 12);
            for (int v = 0; v < n; v++)
                pg_column_add(&column, "more than twelve");
            pg_column_end(&column);
            assert_true(pg_column_failed(&column));
            pg_column_done(&column);
        }
}

static void fill(struct pg_column *column, const char *const *values, int n)
{
    for (int i = 0; i < n; i++)
        pg_column_add(column, values[i]);
}

/* The rows that PostgreSQL makes of them are those that were added. */
static void rows_come_out_as_they_went_in(void **state)
{
    enum { ROWS = 3, SHAPES = 3 };
    static const char *const common[SHAPES][ROWS] = {
        {"a", "a", "a"}, {"a", "a", "b"}, {"b", "a", "a"}};
    static const char *const nullable[SHAPES][ROWS] = {
        {NULL, NULL, NULL}, {NULL, NULL, "x"}, {"x", NULL, "x"}};
    static const char *const rows[SHAPES][SHAPES] = {
        {"1a- 2a- 3a-", "1a- 2a- 3ax", "1ax 2a- 3ax"},
        {"1a- 2a- 3b-", "1a- 2a- 3bx", "1ax 2a- 3bx"},
        {"1b- 2a- 3a-", "1b- 2a- 3ax", "1bx 2a- 3ax"},
    };
    static const char *const numbers[ROWS] = {"1", "2", "3"};
    char conninfo[FIXTURE_CONNINFO_BYTES];
    (void)state;
    assert_true(fixture_database_new(conninfo));
    PGconn *conn = fixture_connect(conninfo);
    for (int c = 0; c < SHAPES; c++)
        for (int n = 0; n < SHAPES; n++) {
            struct pg_column columns[ROWS];
            pg_column_init(&columns[0], PG_COLUMN_EACH, LIMIT_BYTES);
            pg_column_init(&columns[1], PG_COLUMN_COMMON, LIMIT_BYTES);
            pg_column_init(&columns[2], PG_COLUMN_NULLABLE, LIMIT_BYTES);
            fill(&columns[0], numbers, ROWS);
            fill(&columns[1], common[c], ROWS);
            fill(&columns[2], nullable[n], ROWS);
            const char *params[] = {pg_column_end(&columns[0]), pg_column_end(&columns[1]),
                                    pg_column_end(&columns[2])};
            PGresult *result =
                PQexecParams(conn,
                             "SELECT string_agg(v.i || coalesce(v.c, ($2::text[])[1]) ||"
                             " coalesce(v.n, '-'), ' ' ORDER BY v.i)"
                             " FROM unnest($1::int[], $2::text[], $3::text[]) AS v(i, c, n)",
                             3, NULL, params, NULL, NULL, 0);
            assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
            assert_string_equal(PQgetvalue(result, 0, 0), rows[c][n]);
            PQclear(result);
            for (int i = 0; i < ROWS; i++)
                pg_column_done(&columns[i]);
        }
    PQfinish(conn);
    fixture_database_drop(conninfo);
}

int pg_column_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_has_its_element),
        cmocka_unit_test(what_all_rows_have_in_common_is_told_once),
        cmocka_unit_test(once_a_row_differs_each_has_its_element),
        cmocka_unit_test(nulls_are_left_out_only_if_all_are),
        cmocka_unit_test(numbers_are_told_once_like_texts),
        cmocka_unit_test(thousandths_keep_their_places),
        cmocka_unit_test(more_than_its_limit_is_a_failure_of_a_column),
        cmocka_unit_test(rows_come_out_as_they_went_in),
    };
    return cmocka_run_group_tests_name("pg_column", tests, NULL, NULL);
}
