/* Executions by themselves that run before their locks are asked for: attacks on what they
 * remember. */
#include "early_desk.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct runtime_options long_memory(void **state)
{
    struct runtime_options options = runtime_fixture_options(*state);
    options.row_memory_us = 600 * 1000 * 1000;
    return options;
}

/* ---- it is another row, or the same with another meaning ---- */

/* The save gives back a row that is no answer to the question any more. */
static void a_row_whose_key_was_changed_is_not_the_one_that_is_asked_for(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state,
                    FLOW FLOW_STEP("a", FLOW_CONTEXT, "",
                                   "data.row.n = data.row.n + 1;"
                                   " if data.row.n == 4 then data.row.id = 100 end"));
    early_desk_run_well(&desk);
    struct outcome outcome = early_desk_run(&desk);
    assert_outcome(&outcome, STATUS_MISSING, "no such row");
    assert_sql_int(desk.fixture, "SELECT n FROM counter WHERE id = 100", 4);
    fixture_exec(desk.other, "UPDATE counter SET id = 1 WHERE id = 100");
    early_desk_close(&desk, 4, 4);
}

/* None of these writes a row: its place and version stay. */
static void columns_that_got_another_meaning_are_read_anew(void **state)
{
    static const struct {
        const char *change;
        int n;
    } cases[] = {
        {"ALTER TABLE counter RENAME n TO x; ALTER TABLE counter RENAME m TO n;"
         "ALTER TABLE counter RENAME x TO m",
         71},
        {"ALTER TABLE counter DROP COLUMN n; ALTER TABLE counter ADD n integer NOT NULL DEFAULT 50",
         51},
    };
    struct runtime_options options = long_memory(state);
    for (int i = 0; i < 2; i++) {
        struct early_desk desk;
        early_desk_open_with(&desk, state,
                             FLOW_TABLES "ALTER TABLE counter ADD m integer NOT NULL DEFAULT 70",
                             ADD, &options);
        fixture_exec(desk.other, cases[i].change);
        struct outcome outcome = early_desk_run(&desk);
        assert_outcome(&outcome, STATUS_COMPLETED, "");
        early_desk_close(&desk, 4, cases[i].n);
    }
}

/* ---- what the database refuses ---- */

/* The value is no date, but that of the row that stands would have been one. */
static void what_came_of_another_row_is_not_refused(void **state)
{
    struct runtime_options options = long_memory(state);
    struct early_desk desk;
    early_desk_open_with(
        &desk, state, FLOW_TABLES "ALTER TABLE counter ADD d date, ADD t text DEFAULT '2026-01-01'",
        FLOW FLOW_STEP("a", FLOW_CONTEXT, "",
                       "data.row.n = data.row.n + 1;"
                       " data.row.d = data.row.n == 4 and 'never' or data.row.t"),
        &options);
    fixture_exec(desk.other, "UPDATE counter SET n = n + 1 WHERE id = 1");
    struct outcome outcome = early_desk_run(&desk);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    early_desk_close(&desk, 4, 5);
}

static void what_the_database_refuses_fails_as_ever(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state, ADD);
    fixture_exec(desk.other, "ALTER TABLE counter ADD CHECK (n < 4)");
    struct outcome outcome = early_desk_run(&desk);
    assert_outcome(&outcome, STATUS_FAILED, "check");
    assert_int_equal(outcome.attempts, 1);
    early_desk_close(&desk, 3, 3);
}

int early_more_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_whose_key_was_changed_is_not_the_one_that_is_asked_for),
        cmocka_unit_test(columns_that_got_another_meaning_are_read_anew),
        cmocka_unit_test(what_came_of_another_row_is_not_refused),
        cmocka_unit_test(what_the_database_refuses_fails_as_ever),
    };
    return cmocka_run_group_tests_name("early_more", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
