#include "row_desk.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lauxlib.h>

/* ---- reading ---- */

static void every_kind_reads_as_its_lua_type(void **state)
{
    row_desk_run(*state, "assert(row.id == 7 and math.type(row.id) == 'integer')"
                         "assert(row.small == 3)"
                         "assert(row.big == nil)"
                         "assert(row.ratio == 0.5 and math.type(row.ratio) == 'float')"
                         "assert(row.single == 0.1)"
                         "assert(row.done == false)"
                         "assert(row.title == 'hello')"
                         "assert(row.price == 12.5)"
                         "assert(row.doc.a == 1 and row.doc.tags[1] == 'x')"
                         "assert(row.sent_at == '2026-01-02T03:04:05.678Z')"
                         "assert(row.range == '[1,5)')"
                         "assert(row.total == 10)");
}

static void an_unknown_column_is_an_error_with_a_suggestion(void **state)
{
    row_desk_fails(*state, "return row.titel",
                   "data.message has no column 'titel'; did you mean 'title'?");
    row_desk_fails(*state, "row.snt_at = 1",
                   "data.message has no column 'snt_at'; did you mean 'sent_at'?");
    row_desk_fails(*state, "return row.if_", "data.message has no column 'if_'");
    row_desk_fails(*state, "return row.di", "data.message has no column 'di'; did you mean 'id'?");
    row_desk_fails(*state, "return row.is", "data.message has no column 'is'; did you mean 'id'?");
    row_desk_fails(*state, "return row.sender", "data.message has no column 'sender'");
    row_desk_fails(*state, "return row['']", "data.message has no column ''");
    row_desk_fails(*state, "return row['id\\0']",
                   "data.message has no column 'id'; did you mean 'id'?");
    row_desk_fails(*state, "return row['titl\\xff']", "data.message has no column of that name");
    row_desk_fails(*state, "return row[('x'):rep(1000)]",
                   "data.message has no column of that name");
    row_desk_fails(*state, "return row[1]",
                   "a column of data.message is named by a string, not by a number");
    row_desk_fails(*state, "row[{}] = 1",
                   "a column of data.message is named by a string, not by a table");
}

static void numeric_is_a_number_only_where_no_digit_is_lost(void **state)
{
    static const struct {
        const char *text;
        const char *lua;
    } cases[] = {
        {"5", "math.type(row.price) == 'integer' and row.price == 5"},
        {"5.00", "math.type(row.price) == 'float' and row.price == 5"},
        {"0.1", "row.price == 0.1"},
        {"9223372036854775808", "row.price == '9223372036854775808'"},
        {"0.12345678901234567890", "row.price == '0.12345678901234567890'"},
        {"NaN", "row.price ~= row.price"},
        {"-Infinity", "row.price == -math.huge"},
    };
    struct row_desk *d = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char script[200];
        row_desk_load(d, PRICE, cases[i].text);
        snprintf(script, sizeof script, "assert(%s)", cases[i].lua);
        row_desk_run(d, script);
    }
}

static void timestamps_read_as_iso_8601(void **state)
{
    static const char *const cases[][2] = {
        {"2026-01-02 03:04:05+00", "2026-01-02T03:04:05Z"},
        {"2026-01-02 03:04:05.678901+00", "2026-01-02T03:04:05.678901Z"},
        {"2026-01-02 03:04:05+02", "2026-01-02T03:04:05+02:00"},
        {"2026-01-02 03:04:05.5-05:30", "2026-01-02T03:04:05.5-05:30"},
        {"1890-01-02 03:04:05+00:53:28", "1890-01-02T03:04:05+00:53:28"},
        {"2026-01-02 03:04:05-00:30", "2026-01-02T03:04:05-00:30"},
        {"2026-01-02 03:04:05", "2026-01-02T03:04:05"},
        {"12026-01-02 03:04:05.1", "12026-01-02T03:04:05.1"},
        {"2026-01-02", "2026-01-02"},
        {"03:04:05.6", "03:04:05.6"},
        {"03:04:05+02", "03:04:05+02"},
        {"infinity", "infinity"},
        {"-infinity", "-infinity"},
        {"0044-03-15 00:00:00 BC", "0044-03-15 00:00:00 BC"},
        {"0044-03-15 00:00:00+00 BC", "0044-03-15 00:00:00+00 BC"},
        {"2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"},
        {"2026-01-02 03:04", "2026-01-02 03:04"},
        {"tomorrow", "tomorrow"},
        {"", ""},
    };
    struct row_desk *d = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        row_desk_load(d, SENT_AT, cases[i][0]);
        row_lua_push_cell(d->L, &row_desk_columns[SENT_AT], &d->cells[SENT_AT]);
        assert_string_equal(lua_tostring(d->L, -1), cases[i][1]);
        lua_pop(d->L, 1);
    }
}

static void pairs_yields_every_column(void **state)
{
    row_desk_run(*state,
                 "local seen, n = {}, 0;"
                 "for name, value in pairs(row) do n = n + 1; seen[name] = value end;"
                 "assert(n == 12 and seen.id == 7 and seen.title == 'hello' and seen.big == nil);"
                 "assert(seen.doc == row.doc)");
}

static void a_row_has_a_name_and_no_metatable(void **state)
{
    row_desk_run(*state, "assert(tostring(row) == 'row of message');"
                         "assert(getmetatable(row) == 'row');"
                         "assert(not pcall(setmetatable, row, {}))");
}

/* ---- assigning ---- */

static void assigned_values_are_the_members_and_not_the_rows(void **state)
{
    struct row_desk *d = *state;
    row_desk_run(d, "row.id = row.id + 1; row.title = 'new'; row.done = true; row.ratio = 3");
    row_desk_run(
        d, "assert(row.id == 8 and row.title == 'new' and row.done == true and row.ratio == 3.0)");
    row_desk_holds(d, ID, "8");
    row_desk_holds(d, TITLE, "new");
    row_desk_holds(d, DONE, "t");
    row_desk_holds(d, RATIO, "3");
    assert_int_equal(d->cells[ID].integer, 7);
    assert_true(row_change_assigned(&d->change, ID));
    assert_false(row_change_assigned(&d->change, SMALL));
    assert_true(row_change_any(&d->change));
}

static void integers_are_checked_against_their_range(void **state)
{
    struct row_desk *d = *state;
    row_desk_run(d, "row.small = 32767; row.id = -2147483648; row.big = math.maxinteger");
    row_desk_run(d, "row.id = 3.0");
    row_desk_holds(d, ID, "3");
    row_desk_fails(d, "row.small = 32768",
                   "data.message: column small: 32768 is out of range for smallint");
    row_desk_fails(d, "row.small = -32769",
                   "data.message: column small: -32769 is out of range for smallint");
    row_desk_fails(d, "row.id = 2147483648",
                   "data.message: column id: 2147483648 is out of range for integer");
    row_desk_fails(d, "row.big = 2^63",
                   "data.message: column big is an integer, got number 9.2233720368548e+18");
    row_desk_fails(d, "row.id = 3.5", "data.message: column id is an integer, got number 3.5");
    row_desk_fails(d, "row.id = 0/0", "data.message: column id is an integer, got nan");
    row_desk_fails(d, "row.id = '3'", "data.message: column id is an integer, got string \"3\"");
    row_desk_fails(d, "row.id = true", "data.message: column id is an integer, got boolean true");
    row_desk_fails(d, "row.id = {}", "data.message: column id is an integer, got a table");
    row_desk_holds(d, ID, "3");
    row_desk_holds(d, SMALL, "32767");
}

static void a_value_of_another_type_is_an_error(void **state)
{
    row_desk_fails(*state, "row.done = 1", "data.message: column done is a boolean, got integer 1");
    row_desk_fails(*state, "row.done = 'true'",
                   "data.message: column done is a boolean, got string \"true\"");
    row_desk_fails(*state, "row.title = 5",
                   "data.message: column title is a string, got integer 5");
    row_desk_fails(*state, "row.ratio = '1.5'",
                   "data.message: column ratio is a number, got string \"1.5\"");
    row_desk_fails(*state, "row.price = 'cheap'",
                   "data.message: column price is a number, got string \"cheap\"");
    row_desk_fails(*state, "row.price = true",
                   "data.message: column price is a number, got boolean true");
    row_desk_fails(*state, "row.sent_at = 5",
                   "data.message: column sent_at is a time in a string, got integer 5");
    row_desk_fails(*state, "row.title = print",
                   "data.message: column title is a string, got a function");
    row_desk_fails(
        *state, "row.id = ('\xC3\xBC'):rep(100)",
        "data.message: column id is an integer, got string "
        "\"\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC"
        "\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\xC3\xBC\"...");
    assert_false(row_change_any(&((struct row_desk *)*state)->change));
}

static void a_float4_keeps_what_the_database_will_keep(void **state)
{
    struct row_desk *d = *state;
    row_desk_run(d, "row.single = 0.1 + 0.2; assert(row.single == 0.3)");
    row_desk_run(d, "row.single = 1/3; assert(row.single == 0.33333334)");
    row_desk_run(d, "row.single = -math.huge; assert(row.single == -math.huge)");
    row_desk_run(d, "row.single = 0/0; assert(row.single ~= row.single)");
    row_desk_run(d, "row.single = 0");
    row_desk_fails(d, "row.single = 1e39",
                   "data.message: column single: 1e+39 is out of range for real");
    row_desk_fails(d, "row.single = -1e-50",
                   "data.message: column single: -1e-50 is out of range for real");
}

static void numeric_takes_numbers_and_exact_strings(void **state)
{
    static const char *const cases[][2] = {
        {"5", "5"},
        {"0.1", "0.1"},
        {"math.mininteger", "-9223372036854775808"},
        {"1/3", "0.3333333333333333"},
        {"'123456789012345678901234567890.5'", "123456789012345678901234567890.5"},
        {"0/0", "NaN"},
    };
    struct row_desk *d = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char script[100];
        snprintf(script, sizeof script, "row.price = %s", cases[i][0]);
        row_desk_run(d, script);
        row_desk_holds(d, PRICE, cases[i][1]);
    }
}

static void text_is_utf_8_without_zero_bytes(void **state)
{
    static const char *const bad[] = {
        "\\xff",
        "\\xc3",
        "\\xc0\\x80",
        "\\xed\\xa0\\x80",
        "\\xe0\\x80\\x80",
        "\\xf4\\x90\\x80\\x80",
        "\\xf0\\x80\\x80\\x80",
        "\\x80",
    };
    struct row_desk *d = *state;
    row_desk_run(d, "row.title = 'gr\\u{fc}\\u{20ac}\\u{10ffff}'; row.range = 'empty'");
    row_desk_holds(d, TITLE, "gr\xC3\xBC\xE2\x82\xAC\xF4\x8F\xBF\xBF");
    row_desk_holds(d, RANGE, "empty");
    row_desk_fails(d, "row.title = 'a\\0b'",
                   "data.message: column title: a string may not contain a zero byte");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char script[100];
        snprintf(script, sizeof script, "row.title = 'ab%s'", bad[i]);
        row_desk_fails(d, script, "data.message: column title: the string is not UTF-8 at byte 3");
    }
}

static void nil_is_null_where_null_may_be(void **state)
{
    struct row_desk *d = *state;
    row_desk_run(d, "row.title = nil; row.doc = nil; assert(row.title == nil and row.doc == nil)");
    row_desk_holds(d, TITLE, NULL);
    row_desk_holds(d, DOC, NULL);
    row_desk_fails(d, "row.id = nil", "data.message: column id may not be null, got nil");
}

static void a_generated_column_may_not_be_assigned(void **state)
{
    row_desk_fails(
        *state, "row.total = 5",
        "data.message: column total is generated by the database, it cannot be assigned");
}

static void writing_what_was_read_changes_nothing(void **state)
{
    struct row_desk *d = *state;
    row_desk_run(d, "for name, value in pairs(row) do"
                    "  if name ~= 'total' then row[name] = value end "
                    "end");
    assert_false(row_change_any(&d->change));
    row_desk_holds(d, PRICE, "12.50");
    row_desk_holds(d, SENT_AT, "2026-01-02 03:04:05.678+00");
    row_desk_holds(d, DOC, "{\"a\": 1, \"tags\": [\"x\"]}");
    row_desk_run(d, "row.price = 13; row.sent_at = 'now'; row.doc = {}");
    assert_true(row_change_any(&d->change));
    row_desk_run(d, "row.price = '12.5'; row.sent_at = '2026-01-02T03:04:05.678Z';"
                    "row.doc = {a = 1, tags = {'x'}}");
    assert_false(row_change_any(&d->change));
}

static void memory_that_runs_out_is_an_error_of_the_script(void **state)
{
    struct row_desk *d = *state;
    row_desk_fails(d, "row.title = ('x'):rep(5000000)", "data.message: out of memory");
    row_desk_run(d, "assert(row.title == 'hello')");
}

/* ---- life ---- */

static const char gone[] = "the row is gone: its transaction has ended or it was deleted";

static void refuses_all(struct row_desk *d)
{
    row_desk_fails(d, "return row.id", gone);
    row_desk_fails(d, "row.id = 1", gone);
    row_desk_run(d, "local ok, why = pcall(pairs, row);"
                    "assert(not ok and why:find('the row is gone', 1, true))");
    row_desk_run(d, "assert(tostring(row) == 'row that is gone')");
    assert_true(row_desk_settle(d));
}

static void a_dead_row_refuses_every_use(void **state)
{
    struct row_desk *d = *state;
    row_desk_run(d, "next_column, doc = pairs(row), row.doc; doc.a = 5");
    d->binding.dead = true;
    refuses_all(d);
    row_desk_run(
        d, "local ok, why = pcall(next_column); assert(not ok and why:find('gone', 1, true))");
    assert_false(row_change_any(&d->change));
}

static void a_detached_row_refuses_every_use(void **state)
{
    struct row_desk *d = *state;
    lua_getglobal(d->L, "row");
    assert_ptr_equal(row_lua_binding(d->L, -1), &d->binding);
    row_lua_detach(d->L, -1);
    memset(&d->binding, 0xAA, sizeof d->binding);
    assert_null(row_lua_binding(d->L, -1));
    lua_pop(d->L, 1);
    refuses_all(d);
}

static void only_rows_have_a_binding(void **state)
{
    struct row_desk *d = *state;
    lua_newtable(d->L);
    assert_null(row_lua_binding(d->L, -1));
    row_lua_detach(d->L, -1);
    lua_getglobal(d->L, "io");
    lua_getfield(d->L, -1, "stdout");
    assert_null(row_lua_binding(d->L, -1));
    lua_pushinteger(d->L, 5);
    assert_null(row_lua_binding(d->L, -1));
    lua_settop(d->L, 0);
}

static void a_table_that_changed_shape_is_looked_at_anew(void **state)
{
    struct row_desk *d = *state;
    struct column fewer[] = {row_desk_columns[TITLE], row_desk_columns[ID]};
    struct cell cells[] = {d->cells[TITLE], d->cells[ID]};
    row_desk_run(d, "return row.id, row.title, row.total");
    d->table.columns = fewer;
    d->table.n_columns = 2;
    d->row.cells = cells;
    row_desk_push(d);
    row_desk_run(d, "assert(row.id == 7 and row.title == 'hello')");
    row_desk_fails(d, "return row.total", "data.message has no column 'total'");
}

/* ---- memory ---- */

/* The sandbox finds itself by its allocator's argument, so this one has to stand apart. */
static struct {
    lua_Alloc real;
    long left; /* allocations until one fails; all after it fail as well */
} ration;

static void *rationed(void *arg, void *memory, size_t old_bytes, size_t bytes)
{
    if (bytes > 0 && (!memory || bytes > old_bytes) && ration.left-- <= 0)
        return NULL;
    return ration.real(arg, memory, old_bytes, bytes);
}

static int use_every_call(lua_State *L)
{
    struct row_desk *d = lua_touserdata(L, 1);
    row_lua_push(L, &d->binding);
    lua_setglobal(L, "row");
    if (luaL_loadstring(L, "for name, value in pairs(row) do local v = row[name] end;"
                           "row.doc.a = {b = {1, 2, 3}}; row.doc.c = row.doc.tags;"
                           "row.price = '1.25'; row.title = 'x'; row.doc = {deep = {row.doc}}"))
        return lua_error(L);
    lua_call(L, 0, 0);
    lua_getglobal(L, "row");
    row_lua_settle(L, -1);
    return 0;
}

static void every_failing_allocation_is_survived(void **state)
{
    (void)state;
    bool finished = false;
    for (long n = 0; !finished; n++) {
        struct row_desk *d = calloc(1, sizeof *d);
        void *arg;
        assert_non_null(d);
        row_desk_prepare(d);
        row_desk_open(d);
        lua_pushcfunction(d->L, use_every_call);
        lua_pushlightuserdata(d->L, d);
        ration.real = lua_getallocf(d->L, &arg);
        ration.left = n;
        lua_setallocf(d->L, rationed, arg);
        int status = lua_pcall(d->L, 1, 0, 0);
        lua_setallocf(d->L, ration.real, arg);
        finished = status == LUA_OK;
        if (!finished)
            assert_int_equal(status, LUA_ERRMEM);
        assert_int_equal(lua_gettop(d->L), finished ? 0 : 1);
        sandbox_free(d->sandbox);
        region_done(&d->region);
        free(d);
    }
}

int row_lua_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, row_desk_set_up, row_desk_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_kind_reads_as_its_lua_type),
        TEST(an_unknown_column_is_an_error_with_a_suggestion),
        TEST(numeric_is_a_number_only_where_no_digit_is_lost),
        TEST(timestamps_read_as_iso_8601),
        TEST(pairs_yields_every_column),
        TEST(a_row_has_a_name_and_no_metatable),
        TEST(assigned_values_are_the_members_and_not_the_rows),
        TEST(integers_are_checked_against_their_range),
        TEST(a_value_of_another_type_is_an_error),
        TEST(a_float4_keeps_what_the_database_will_keep),
        TEST(numeric_takes_numbers_and_exact_strings),
        TEST(text_is_utf_8_without_zero_bytes),
        TEST(nil_is_null_where_null_may_be),
        TEST(a_generated_column_may_not_be_assigned),
        TEST(writing_what_was_read_changes_nothing),
        TEST(memory_that_runs_out_is_an_error_of_the_script),
        TEST(a_dead_row_refuses_every_use),
        TEST(a_detached_row_refuses_every_use),
        TEST(only_rows_have_a_binding),
        TEST(a_table_that_changed_shape_is_looked_at_anew),
        cmocka_unit_test(every_failing_allocation_is_survived),
    };
#undef TEST
    return cmocka_run_group_tests_name("row_lua", tests, NULL, NULL);
}
