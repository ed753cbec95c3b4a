/* Rows that a script makes, loads, lists and deletes. */
#include "runtime_tests.h"
#include "script_desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- objects ---- */

static void a_new_object_gets_its_defaults(void **state)
{
    script_desk_gives(state,
                      "local line = objects.new('line', {item = 2, note = 'x'})\n"
                      "output = {line.id, line.item, line.n, line.note}\n"
                      "line.n = line.n + 1",
                      "[5,2,7,\"x\"]");
    assert_sql_text(*state, "SELECT concat_ws(' ', item, n, note) FROM line WHERE id = 5", "2 8 x");
}

static void a_new_object_may_give_nothing(void **state)
{
    runtime_fixture_tables(*state, "CREATE TABLE bare (id int GENERATED ALWAYS AS IDENTITY"
                                   " PRIMARY KEY, n int DEFAULT 5)");
    struct host *host = host_start(*state, NULL);
    struct outcome outcome =
        host_run(host,
                 "workflow: w\nstart: a\nactivities:\n  a:\n    script: |\n"
                 "      local b = objects.new('bare', {})\n      output = {b.id, b.n}\n",
                 "{}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "[1,5]");
    host_stop(host);
}

static void a_new_object_is_loaded_anew_after_sql(void **state)
{
    script_desk_gives(state,
                      "local line = objects.new('line', {item = 2})\n"
                      "sql('UPDATE line SET n = 100 WHERE id = $1', line.id)\n"
                      "output.a = line.n\n"
                      "line.n = line.n + 1",
                      "{\"a\":100}");
    assert_sql_int(*state, "SELECT n FROM line WHERE id = 5", 101);
}

static void wrong_fields_are_told(void **state)
{
    script_desk_fails(state, "objects.new('line', {item = 2, x = 1})", STATUS_INVALID,
                      "no column 'x'");
    script_desk_fails(state, "objects.new('lin', {item = 2})", STATUS_INVALID, "no table 'lin'");
    script_desk_fails(state, "objects.new('line', {item = 'x'})", STATUS_FAILED, "item");
    script_desk_fails(state, "objects.new('line', {})", STATUS_FAILED, "null value in column");
    script_desk_fails(state, "objects.new('line', {2})", STATUS_FAILED, "columns");
    script_desk_fails(state, "objects.new('item', {id = 1})", STATUS_FAILED, "item_pkey");
    script_desk_fails(state, "objects.new('latchkey.instance', {id = 1})", STATUS_INVALID,
                      "not for workflows");
    script_desk_fails(state, "objects.new('line')", STATUS_FAILED, "test.yaml:22: ");
}

static void an_object_is_loaded_by_a_key(void **state)
{
    script_desk_gives(state,
                      "local b = objects.load('item', {slug = 'b'})\n"
                      "b.n = 5\n"
                      "output = {b.id, objects.load('item', {id = 99}) == nil}",
                      "[2,true]");
    assert_sql_int(*state, "SELECT n FROM item WHERE id = 2", 5);
}

static void an_object_is_not_loaded_by_less_than_a_key(void **state)
{
    script_desk_fails(state, "objects.load('item', {n = 0})", STATUS_INVALID, "no unique index");
    script_desk_fails(state, "objects.load('item', {})", STATUS_INVALID, "no unique index");
}

static void one_row_is_one_object(void **state)
{
    script_desk_gives(state,
                      "data.i.n = 5\n"
                      "local a = objects.load('item', {id = 1})\n"
                      "a.n = a.n + 1\n"
                      "local b = objects.load('item', {slug = 'a'})\n"
                      "b.n = b.n + 1\n"
                      "local c = objects.list('item', {where = {id = 1}})[1]\n"
                      "c.n = c.n + 1\n"
                      "output = {data.i.n, a == data.i, b == data.i, c == data.i}",
                      "[8,true,true,true]");
    assert_sql_int(*state, "SELECT n FROM item WHERE id = 1", 8);
}

static void what_was_not_there_is_found_once_it_is(void **state)
{
    script_desk_gives(state,
                      "local none = objects.load('item', {id = 9})\n"
                      "local made = objects.new('item', {id = 9})\n"
                      "made.n = 4\n"
                      "local found = objects.load('item', {id = 9})\n"
                      "output = {none == nil, found == made, found.n}",
                      "[true,true,4]");
}

static void a_list_is_asked_for_anew(void **state)
{
    script_desk_gives(
        state,
        "local function ns()\n"
        "  local out = {}\n"
        "  local lines = objects.list('line', {where = {item = 1}, order_by = 'n desc'})\n"
        "  for _, l in ipairs(lines) do out[#out + 1] = l.n end\n"
        "  return table.concat(out, ' ')\n"
        "end\n"
        "local a = ns()\n"
        "objects.new('line', {item = 1, n = 25})\n"
        "local b = ns()\n"
        "objects.delete(objects.list('line', {where = {n = 30}})[1])\n"
        "local c = ns()\n"
        "objects.list('line', {where = {n = 10}})[1].item = 2\n"
        "output = {a, b, c, ns()}",
        "[\"30 20 10\",\"30 25 20 10\",\"25 20 10\",\"25 20\"]");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM line WHERE item = 1",
                    "20 25");
}

static void a_row_that_leaves_a_list_stays_itself(void **state)
{
    script_desk_gives(state,
                      "local l = objects.list('line', {where = {item = 1}, order_by = 'n'})\n"
                      "local first = l[1]\n"
                      "first.item = 2\n"
                      "local m = objects.list('line', {where = {item = 1}, order_by = 'n'})\n"
                      "first.note = 'moved'\n"
                      "output = {#l, #m, first.n, m[1].n}",
                      "[3,2,10,20]");
    assert_sql_text(*state, "SELECT concat_ws(' ', item, n, note) FROM line WHERE id = 2",
                    "2 10 moved");
}

static void lists_are_ordered_and_chosen(void **state)
{
    script_desk_gives(
        state,
        "local all = objects.list('line')\n"
        "local by = objects.list('line', {order_by = 'item desc, n'})\n"
        "output = {#all, by[1].n, by[2].n, by[4].n, #objects.list('line', {where = {item = 8}})}",
        "[4,50,10,30,0]");
    script_desk_fails(state, "objects.list('line', {order_by = 'x'})", STATUS_INVALID, "order_by");
    script_desk_fails(state, "objects.list('line', {order_by = 'n; drop'})", STATUS_INVALID,
                      "order_by");
    script_desk_fails(state, "objects.list('line', {where = {x = 1}})", STATUS_INVALID,
                      "no column 'x'");
}

static void a_deleted_row_is_gone(void **state)
{
    script_desk_gives(state,
                      "local i = data.i\n"
                      "i.n = 5\n"
                      "objects.delete(i)\n"
                      "local ok, why = pcall(function() i.n = 6 end)\n"
                      "output = {ok, (string.find(why, 'gone')) ~= nil,"
                      " objects.load('item', {id = 1}) == nil}",
                      "[false,true,true]");
    assert_sql_int(*state, "SELECT count(*) FROM item", 2);
}

static void a_row_is_deleted_once(void **state)
{
    script_desk_fails(state, "local i = data.i\nobjects.delete(i)\nobjects.delete(i)",
                      STATUS_FAILED, "gone");
    script_desk_fails(state, "objects.delete({})", STATUS_FAILED, "test.yaml:22: ");
}

static void a_new_row_may_be_deleted(void **state)
{
    script_desk_gives(state,
                      "local l = objects.new('line', {item = 1})\n"
                      "l.n = 3\n"
                      "objects.delete(l)\n"
                      "output.n = #objects.list('line')",
                      "{\"n\":4}");
}

static void too_many_rows_are_refused(void **state)
{
    script_desk_fails(state, "sql('CREATE')", STATUS_FAILED, "not allowed");
    struct host *host = script_desk_start(state);
    fixture_exec(((struct runtime_fixture *)*state)->sql,
                 "INSERT INTO line (item) SELECT 3 FROM generate_series(1, 10000)");
    struct outcome outcome = script_desk_run(host, "objects.list('line')");
    assert_outcome(&outcome, STATUS_FAILED, "10000 rows");
    host_stop(host);
}

/* ---- lists of the definition ---- */

static void a_list_has_its_rows_in_order(void **state)
{
    script_desk_gives(state,
                      "local s = {}\n"
                      "for i, l in ipairs(data.lines) do s[i] = l.n; l.n = l.n + 1 end\n"
                      "output = s",
                      "[10,20,30]");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM line", "11 21 31 50");
}

static void rows_are_added_to_a_list(void **state)
{
    script_desk_gives(state,
                      "local l = data.lines:add({n = 40})\n"
                      "l.note = 'new'\n"
                      "output = {#data.lines, data.lines[4] == l, l.item, l.n}",
                      "[4,true,1,40]");
    assert_sql_text(*state, "SELECT concat_ws(' ', item, n, note) FROM line WHERE id = 5",
                    "1 40 new");
}

static void rows_are_removed_from_a_list(void **state)
{
    script_desk_gives(state,
                      "local two = data.lines[2]\n"
                      "two.n = 99\n"
                      "data.lines:remove(two)\n"
                      "output = {#data.lines, data.lines[1].n, data.lines[2].n}",
                      "[2,10,30]");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM line", "10 30 50");
    script_desk_fails(state, "data.lines:remove(data.i)", STATUS_FAILED, "a row of this list");
}

static void the_rows_of_a_list_stay_themselves_after_sql(void **state)
{
    script_desk_gives(state,
                      "local one, two, three = data.lines[1], data.lines[2], data.lines[3]\n"
                      "sql('DELETE FROM line WHERE n = 10')\n"
                      "two.note = 'two'\n"
                      "three.note = 'three'\n"
                      "output = {two.n, three.n, (pcall(function() return one.n end))}",
                      "[20,30,false]");
    assert_sql_text(*state,
                    "SELECT string_agg(concat(n, note), ' ' ORDER BY n) FROM line WHERE item = 1",
                    "20two 30three");
}

static void a_list_is_loaded_anew_after_sql(void **state)
{
    script_desk_gives(state,
                      "local lines = data.lines\n"
                      "sql('INSERT INTO line (item, n) VALUES (1, 15)')\n"
                      "sql('DELETE FROM line WHERE n = 30')\n"
                      "output = {#lines, lines[1].n, lines[2].n, lines[3].n, lines == data.lines}",
                      "[3,10,15,20,true]");
}

static void a_list_of_a_table_without_a_key_is_read(void **state)
{
    static const char yaml[] =
        "workflow: w\ndata:\n  l:\n    table: note\n    list: true\n    order-by: n\n"
        "start: a\nactivities:\n  a:\n    script: |\n      %s\n";
    char text[512];
    runtime_fixture_tables(*state, "CREATE TABLE note (n int, t text);"
                                   "INSERT INTO note VALUES (2, 'b'), (1, 'a'), (2, 'b')");
    struct host *host = host_start(*state, NULL);
    snprintf(text, sizeof text, yaml, "output = {#data.l, data.l[1].t, data.l[3].t}");
    struct outcome outcome = host_run(host, text, "{}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "[3,\"a\",\"b\"]");
    snprintf(text, sizeof text, yaml, "data.l[2].t = 'c'; data.l:add({n = 3})");
    outcome = host_run(host, text, "{}");
    assert_outcome(&outcome, STATUS_INVALID, "no primary key");
    assert_sql_int(*state, "SELECT count(*) FROM note WHERE t = 'c'", 0);
    snprintf(text, sizeof text, yaml, "data.l:remove(data.l[2])");
    outcome = host_run(host, text, "{}");
    assert_outcome(&outcome, STATUS_INVALID, "no primary key");
    snprintf(text, sizeof text, yaml, "data.l:add({n = 3})");
    outcome = host_run(host, text, "{}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_int(*state, "SELECT count(*) FROM note", 4);
    host_stop(host);
}

int script_objects_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_object_gets_its_defaults),
        cmocka_unit_test(a_new_object_may_give_nothing),
        cmocka_unit_test(a_new_object_is_loaded_anew_after_sql),
        cmocka_unit_test(wrong_fields_are_told),
        cmocka_unit_test(an_object_is_loaded_by_a_key),
        cmocka_unit_test(an_object_is_not_loaded_by_less_than_a_key),
        cmocka_unit_test(one_row_is_one_object),
        cmocka_unit_test(what_was_not_there_is_found_once_it_is),
        cmocka_unit_test(a_list_is_asked_for_anew),
        cmocka_unit_test(a_row_that_leaves_a_list_stays_itself),
        cmocka_unit_test(lists_are_ordered_and_chosen),
        cmocka_unit_test(a_deleted_row_is_gone),
        cmocka_unit_test(a_row_is_deleted_once),
        cmocka_unit_test(a_new_row_may_be_deleted),
        cmocka_unit_test(too_many_rows_are_refused),
        cmocka_unit_test(a_list_has_its_rows_in_order),
        cmocka_unit_test(rows_are_added_to_a_list),
        cmocka_unit_test(rows_are_removed_from_a_list),
        cmocka_unit_test(the_rows_of_a_list_stay_themselves_after_sql),
        cmocka_unit_test(a_list_is_loaded_anew_after_sql),
        cmocka_unit_test(a_list_of_a_table_without_a_key_is_read),
    };
    return cmocka_run_group_tests_name("script_objects", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
