/* Tables of json columns. */
#include "row_desk.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void changes_inside_json_count_once_settled(void **state)
{
    struct row_desk *d = *state;
    row_desk_run(d, "row.doc.a = row.doc.a + 1; row.doc.tags[2] = 'y'; assert(row.doc.a == 2)");
    assert_false(row_change_any(&d->change));
    assert_true(row_desk_settle(d));
    assert_true(row_change_any(&d->change));
    row_desk_run(d, "assert(row.doc.a == 2 and #row.doc.tags == 2); row.doc.a = 3");
    assert_true(row_desk_settle(d));
    row_desk_run(d, "assert(row.doc.a == 3); row.doc.a = 1; row.doc.tags[2] = nil");
    assert_true(row_desk_settle(d));
    assert_false(row_change_any(&d->change));
}

static void json_that_is_only_read_is_not_assigned(void **state)
{
    struct row_desk *d = *state;
    row_desk_run(d, "local t = row.doc; assert(t == row.doc)");
    assert_true(row_desk_settle(d));
    assert_false(row_change_assigned(&d->change, DOC));
}

static void an_assigned_table_is_the_columns_table(void **state)
{
    struct row_desk *d = *state;
    row_desk_run(d, "local t = {n = 1}; row.doc = t; t.n = 2; assert(row.doc == t)");
    row_desk_holds(d, DOC, "{\"n\":1}");
    assert_true(row_desk_settle(d));
    row_desk_holds(d, DOC, "{\"n\":2}");
}

static void a_scalar_replaces_a_json_table(void **state)
{
    struct row_desk *d = *state;
    row_desk_run(d, "row.doc.a = 9; row.doc = 'text'; assert(row.doc == 'text')");
    assert_true(row_desk_settle(d));
    row_desk_holds(d, DOC, "\"text\"");
    row_desk_run(d, "row.doc = 5; assert(row.doc == 5)");
    row_desk_run(d, "row.doc = nil; assert(row.doc == nil)");
    assert_true(row_desk_settle(d));
    row_desk_holds(d, DOC, NULL);
}

static void a_refused_assignment_leaves_the_json_table(void **state)
{
    struct row_desk *d = *state;
    row_desk_run(d,
                 "row.doc.a = 2; assert(not pcall(function() row.doc = print end));"
                 "assert(not pcall(function() row.doc = {f = print} end)); assert(row.doc.a == 2)");
    assert_true(row_desk_settle(d));
    row_desk_run(d, "assert(row.doc.a == 2)");
    assert_true(row_change_any(&d->change));
}

static void a_table_that_is_no_json_cannot_be_settled(void **state)
{
    struct row_desk *d = *state;
    row_desk_run(d, "row.doc.a = print");
    assert_false(row_desk_settle(d));
    assert_non_null(strstr(lua_tostring(d->L, -1), "doc"));
    lua_pop(d->L, 1);
    assert_false(row_change_any(&d->change));
}

static void a_json_table_ends_when_its_row_is_loaded_anew(void **state)
{
    struct row_desk *d = *state;
    row_desk_run(d, "old = row.doc; old.a = 2");
    row_desk_load(d, DOC, "{\"a\": 5}");
    assert_true(row_desk_settle(d));
    assert_false(row_change_any(&d->change));
    row_desk_run(d, "assert(row.doc.a == 5 and row.doc ~= old); row.doc.a = 6");
    assert_true(row_desk_settle(d));
    row_desk_holds(d, DOC, "{\"a\":6}");
    d->change = (struct row_change){.row = &d->row};
    row_desk_run(d, "assert(row.doc.a == 5)");
}

static void a_guard_changes_nothing(void **state)
{
    struct row_desk *d = *state;
    d->binding.read_only = true;
    row_desk_fails(d, "row.id = 5", "a guard or rule cannot change data");
    row_desk_run(d, "assert(row.doc.a == 1 and row.id == 7); row.doc.a = 5");
    d->binding.read_only = false;
    row_desk_run(d, "assert(row.doc.a == 1)");
    assert_true(row_desk_settle(d));
    assert_false(row_change_any(&d->change));
}

static void a_rule_changes_nothing_after_the_script(void **state)
{
    struct row_desk *d = *state;
    row_desk_run(d, "row.doc.a = 2");
    assert_true(row_desk_settle(d));
    d->binding.read_only = true;
    row_desk_run(d, "row.doc.a = 3; assert(row.doc.a == 2)");
    d->binding.read_only = false;
    row_desk_run(d, "assert(row.doc.a == 2); row.doc.a = 4");
    d->binding.read_only = true;
    assert_true(row_desk_settle(d));
    row_desk_run(d, "assert(row.doc.a == 2)");
}

int row_lua_json_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, row_desk_set_up, row_desk_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(changes_inside_json_count_once_settled),
        TEST(json_that_is_only_read_is_not_assigned),
        TEST(an_assigned_table_is_the_columns_table),
        TEST(a_scalar_replaces_a_json_table),
        TEST(a_refused_assignment_leaves_the_json_table),
        TEST(a_table_that_is_no_json_cannot_be_settled),
        TEST(a_json_table_ends_when_its_row_is_loaded_anew),
        TEST(a_guard_changes_nothing),
        TEST(a_rule_changes_nothing_after_the_script),
    };
#undef TEST
    return cmocka_run_group_tests_name("row_lua_json", tests, NULL, NULL);
}
