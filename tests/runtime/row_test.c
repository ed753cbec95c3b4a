#include "row.h"
#include "runtime_tests.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    N_COLUMNS = 130, /* three words of the bit set, the last not full */
};

struct wide {
    struct region region;
    struct column columns[N_COLUMNS];
    struct table table;
    struct cell cells[N_COLUMNS];
    struct row row;
    struct row_change change;
};

static int set_up(void **state)
{
    struct wide *w = calloc(1, sizeof *w);
    if (!w)
        return -1;
    region_init(&w->region, 1 << 20);
    for (int i = 0; i < N_COLUMNS; i++) {
        w->columns[i] = (struct column){.name = "n", .type_name = "integer", .kind = COLUMN_INT4};
        w->cells[i] = (struct cell){.kind = CELL_INTEGER, .integer = i};
    }
    w->table = (struct table){.name = "wide", .columns = w->columns, .n_columns = N_COLUMNS};
    w->row = (struct row){.table = &w->table, .cells = w->cells};
    w->change = (struct row_change){.row = &w->row};
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct wide *w = *state;
    region_done(&w->region);
    free(w);
    return 0;
}

static const enum column_kind all_kinds[] = {
    COLUMN_INT2,    COLUMN_INT4, COLUMN_INT8, COLUMN_FLOAT4,    COLUMN_FLOAT8, COLUMN_BOOLEAN,
    COLUMN_NUMERIC, COLUMN_TEXT, COLUMN_JSON, COLUMN_TIMESTAMP, COLUMN_OTHER,
};

static void set(struct wide *w, int column, struct cell cell)
{
    struct fault fault;
    assert_true(row_change_set(&w->change, &w->region, column, &cell, &fault));
}

static void a_cell_is_written_as_it_was_read(void **state)
{
    static const struct {
        enum column_kind kind;
        const char *text;
    } cases[] = {
        {COLUMN_INT2, "-32768"},
        {COLUMN_INT4, "0"},
        {COLUMN_INT8, "9223372036854775807"},
        {COLUMN_INT8, "-9223372036854775808"},
        {COLUMN_FLOAT8, "0.1"},
        {COLUMN_FLOAT8, "0.30000000000000004"},
        {COLUMN_FLOAT8, "1e+300"},
        {COLUMN_FLOAT8, "-0"},
        {COLUMN_FLOAT8, "NaN"},
        {COLUMN_FLOAT8, "Infinity"},
        {COLUMN_FLOAT4, "-Infinity"},
        {COLUMN_FLOAT4, "0.1"},
        {COLUMN_BOOLEAN, "t"},
        {COLUMN_BOOLEAN, "f"},
        {COLUMN_TEXT, ""},
        {COLUMN_TEXT, "gr\xC3\xBC\xC3\x9F"},
        {COLUMN_NUMERIC, "1.50"},
        {COLUMN_TIMESTAMP, "2026-01-02 03:04:05+00"},
        {COLUMN_JSON, "{\"a\": 1}"},
        {COLUMN_OTHER, "{1,2}"},
    };
    struct wide *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct column column = {.name = "c", .kind = cases[i].kind};
        struct cell cell;
        struct fault fault;
        char buffer[CELL_BUFFER_BYTES];
        assert_true(
            cell_read(&w->region, &column, cases[i].text, strlen(cases[i].text), &cell, &fault));
        assert_string_equal(cell_write(&cell, buffer), cases[i].text);
    }
}

static void random_doubles_survive_writing(void **state)
{
    struct wide *w = *state;
    struct column column = {.name = "c", .kind = COLUMN_FLOAT8};
    uint64_t bits = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        struct cell cell = {.kind = CELL_NUMBER};
        struct cell again;
        struct fault fault;
        char buffer[CELL_BUFFER_BYTES];
        memcpy(&cell.number, &bits, sizeof bits);
        const char *text = cell_write(&cell, buffer);
        assert_true(cell_read(&w->region, &column, text, strlen(text), &again, &fault));
        assert_true(cell_equal(&cell, &again));
    }
}

static void null_is_null_in_every_kind(void **state)
{
    struct wide *w = *state;
    for (size_t i = 0; i < sizeof all_kinds / sizeof *all_kinds; i++) {
        struct column column = {.name = "c", .kind = all_kinds[i]};
        struct cell cell;
        struct fault fault;
        char buffer[CELL_BUFFER_BYTES];
        assert_true(cell_read(&w->region, &column, NULL, 0, &cell, &fault));
        assert_int_equal(cell.kind, CELL_NULL);
        assert_null(cell_write(&cell, buffer));
    }
}

static void what_is_no_number_is_a_fault_of_the_database(void **state)
{
    static const struct {
        enum column_kind kind;
        const char *text;
    } cases[] = {
        {COLUMN_INT4, "x"},   {COLUMN_INT8, "9223372036854775808"},
        {COLUMN_INT4, "1 "},  {COLUMN_INT4, ""},
        {COLUMN_FLOAT8, ""},  {COLUMN_FLOAT4, "1,5"},
        {COLUMN_BOOLEAN, ""}, {COLUMN_BOOLEAN, "true"},
    };
    struct wide *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct column column = {.name = "total", .kind = cases[i].kind};
        struct cell cell;
        struct fault fault;
        assert_false(
            cell_read(&w->region, &column, cases[i].text, strlen(cases[i].text), &cell, &fault));
        assert_int_equal(fault.kind, FAULT_DATABASE);
        assert_non_null(strstr(fault.text, "total"));
    }
}

static void a_text_is_a_copy_of_its_own(void **state)
{
    struct wide *w = *state;
    struct column column = {.name = "c", .kind = COLUMN_TEXT};
    char text[] = "abc";
    struct cell cell;
    struct fault fault;
    assert_true(cell_read(&w->region, &column, text, 3, &cell, &fault));
    text[0] = 'x';
    assert_string_equal(cell.text.bytes, "abc");
    assert_int_equal(cell.text.n_bytes, 3);
}

static void a_full_region_is_exhausted(void **state)
{
    struct wide *w = *state;
    struct column column = {.name = "c", .kind = COLUMN_TEXT};
    struct region small;
    struct cell cell = {.kind = CELL_NULL};
    struct fault fault;
    region_init(&small, 8);
    assert_false(cell_read(&small, &column, "more than eight", 15, &cell, &fault));
    assert_int_equal(fault.kind, FAULT_EXHAUSTED);
    assert_false(row_change_set(&w->change, &small, 0, &cell, &fault));
    assert_int_equal(fault.kind, FAULT_EXHAUSTED);
    assert_false(row_change_assigned(&w->change, 0));
    assert_int_equal(row_change_get(&w->change, 7)->integer, 7);
    region_done(&small);
}

static void cells_are_equal_by_kind_and_value(void **state)
{
    (void)state;
    const struct cell cells[] = {
        {.kind = CELL_NULL},
        {.kind = CELL_INTEGER, .integer = 0},
        {.kind = CELL_INTEGER, .integer = 1},
        {.kind = CELL_NUMBER, .number = 0.0},
        {.kind = CELL_NUMBER, .number = -0.0},
        {.kind = CELL_NUMBER, .number = 1.0},
        {.kind = CELL_NUMBER, .number = NAN},
        {.kind = CELL_BOOLEAN, .boolean = false},
        {.kind = CELL_BOOLEAN, .boolean = true},
        {.kind = CELL_TEXT, .text = {"", 0}},
        {.kind = CELL_TEXT, .text = {"a", 1}},
        {.kind = CELL_TEXT, .text = {"ab", 2}},
        {.kind = CELL_TEXT, .text = {"ac", 2}},
    };
    enum {
        N = sizeof cells / sizeof *cells,
    };
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            assert_int_equal(cell_equal(&cells[i], &cells[j]), i == j);
}

static void an_assignment_leaves_the_row_alone(void **state)
{
    struct wide *w = *state;
    assert_false(row_change_any(&w->change));
    assert_ptr_equal(row_change_get(&w->change, 5), &w->cells[5]);
    set(w, 5, (struct cell){.kind = CELL_INTEGER, .integer = 50});
    assert_int_equal(row_change_get(&w->change, 5)->integer, 50);
    assert_int_equal(row_change_get(&w->change, 6)->integer, 6);
    assert_int_equal(w->cells[5].integer, 5);
}

static void only_assigned_columns_count_as_assigned(void **state)
{
    struct wide *w = *state;
    const int assigned[] = {0, 63, 64, 129};
    for (int i = 0; i < N_COLUMNS; i++)
        assert_false(row_change_assigned(&w->change, i));
    for (int i = 0; i < 4; i++)
        set(w, assigned[i], (struct cell){.kind = CELL_NULL});
    for (int i = 0, next = 0; i < N_COLUMNS; i++) {
        bool expected = next < 4 && assigned[next] == i;
        next += expected;
        assert_int_equal(row_change_assigned(&w->change, i), expected);
    }
}

static void a_change_back_is_no_change(void **state)
{
    struct wide *w = *state;
    const int columns[] = {0, 63, 64, 127, 128, 129};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        set(w, columns[i], (struct cell){.kind = CELL_INTEGER, .integer = 1000});
        assert_true(row_change_any(&w->change));
        set(w, columns[i], (struct cell){.kind = CELL_INTEGER, .integer = columns[i]});
        assert_false(row_change_any(&w->change));
        assert_true(row_change_assigned(&w->change, columns[i]));
    }
}

int row_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_cell_is_written_as_it_was_read),
        TEST(random_doubles_survive_writing),
        TEST(null_is_null_in_every_kind),
        TEST(what_is_no_number_is_a_fault_of_the_database),
        TEST(a_text_is_a_copy_of_its_own),
        TEST(a_full_region_is_exhausted),
        TEST(cells_are_equal_by_kind_and_value),
        TEST(an_assignment_leaves_the_row_alone),
        TEST(only_assigned_columns_count_as_assigned),
        TEST(a_change_back_is_no_change),
    };
#undef TEST
    return cmocka_run_group_tests_name("row", tests, NULL, NULL);
}
