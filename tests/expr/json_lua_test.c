#include "expr_tests.h"
#include "lua_fixture.h"

#include <string.h>

static void json_survives_the_way_through_lua(void **state)
{
    struct lua_fixture *fixture = *state;
    static const char *const texts[] = {
        "null",
        "true",
        "0",
        "-9223372036854775808",
        "1.0",
        "1e300",
        "\"\"",
        "\"a\\u0000b\"",
        "\"\xc3\xa4\xf0\x9f\x98\x80\"",
        "[]",
        "{}",
        "[[], {}, [{}], null]",
        "{\"a\": null, \"b\": [null], \"c\": {\"1\": 2}}",
        "[1, 2.5, \"3\", false]",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lua_set(fixture, "value", texts[i]);
        assert_evaluates(fixture, "value", texts[i]);
    }
}

static void the_deepest_json_survives(void **state)
{
    struct lua_fixture *fixture = *state;
    char text[2 * JSON_DEPTH_MAX + 1];
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    text[sizeof text - 1] = '\0';
    lua_set(fixture, "value", text);
    assert_evaluates(fixture, "value", text);
    assert_evaluation_fails(fixture, "{value}", "nested too deeply");
}

static void a_value_that_is_too_deep_is_not_pushed(void **state)
{
    struct lua_fixture *fixture = *state;
    json_t *value = json_integer(1);
    for (int i = 0; i <= JSON_DEPTH_MAX; i++)
        value = json_pack("[o]", value);
    assert_false(scope_set_json(fixture->scope, "value", value, &fixture->fault));
    assert_int_equal(fixture->fault.kind, FAULT_INVALID);
    json_decref(value);
}

/* A table that stands in two places is copied twice, and doubling thirty times would be too much.
 */
static void a_table_full_of_itself_is_refused_soon(void **state)
{
    struct lua_fixture *fixture = *state;
    assert_evaluation_fails(fixture, "local t = {1} for i = 1, 40 do t = {t, t} end return t",
                            "one value too many");
    assert_evaluation_fails(
        fixture, "local s, t = ('x'):rep(100000), {} for i = 1, 1000 do t[i] = s end return t",
        "more text than fits");
    assert_run_fails(fixture,
                     "local t = {1} for i = 1, 40 do t = {t, t} end "
                     "while true do pcall(json.encode, t) end",
                     "instructions");
}

static void a_fault_names_the_part(void **state)
{
    struct lua_fixture *fixture = *state;
    assert_evaluation_fails(fixture, "{items = {1, 2, tostring}}",
                            "value.items[3] cannot be JSON: it is a function");
    assert_int_equal(fixture->fault.kind, FAULT_SCRIPT);
    assert_evaluation_fails(fixture, "{a = {['\\xff'] = 1}}", "value.a has a name");
    assert_evaluation_fails(fixture, "{a = {['x\\0'] = 1}}", "value.a has a name");
    assert_evaluation_fails(fixture, "{a = {b = {'x', '\\xc0\\x80'}}}",
                            "value.a.b[2] is not UTF-8");
}

static void the_mark_of_arrays_is_locked(void **state)
{
    struct lua_fixture *fixture = *state;
    lua_set(fixture, "list", "[1]");
    assert_evaluates(fixture, "getmetatable(list)", "false");
    assert_runs(fixture, "list[2] = 2 return list", "[1, 2]");
    assert_runs(fixture, "list[1] = nil list[2] = nil return list", "[]");
    assert_run_fails(fixture, "list.name = 1 return list", "names among its keys");
    assert_runs(fixture, "rawset(list, 'name', nil) return list", "[]");
}

static void scripts_have_json(void **state)
{
    struct lua_fixture *fixture = *state;
    assert_runs(fixture, "return json.encode({b = {1, 2}, a = 'x', c = json.null, d = 1.5})",
                "\"{\\\"a\\\":\\\"x\\\",\\\"b\\\":[1,2],\\\"c\\\":null,\\\"d\\\":1.5}\"");
    assert_runs(fixture, "return json.decode('{\"a\": [1, null, {}]}')", "{\"a\": [1, null, {}]}");
    assert_runs(fixture, "return json.decode('[null]')[1] == json.null", "true");
    assert_runs(fixture, "return json.encode(json.decode('[]'))", "\"[]\"");
    assert_runs(fixture, "return json.encode({})", "\"{}\"");
    assert_runs(fixture, "return json.encode(nil)", "\"null\"");
    assert_runs(fixture, "return tostring(json.null)", "\"null\"");
    assert_run_fails(fixture, "return json.encode({x = tostring})",
                     "test.yaml:1: value.x cannot be JSON");
    assert_run_fails(fixture, "return json.decode('{')", "test.yaml:1: json.decode: line 1");
    assert_run_fails(fixture, "return json.decode('{\"a\":1,\"a\":2}')", "duplicate");
    assert_run_fails(fixture, "return json.decode(('['):rep(100))", "nested deeper");
    assert_run_fails(fixture, "return json.decode(('x'):rep(5000000))", "over 4 MiB");
    assert_run_fails(fixture, "return json.decode('[' .. ('0,'):rep(50000) .. '0]')",
                     "over 50000 values");
    assert_runs(fixture, "return #json.decode('[\"' .. ('[,{'):rep(50000) .. '\\\\\"\",1]')", "2");
    assert_run_fails(fixture, "return json.decode('[9223372036854775808]')",
                     "test.yaml:1: json.decode: line 1, column 20: a number out of range");
}

/* Parsed text that does not fit into the run's memory must not leak, nor save the run. */
static void decoding_too_much_ends_the_run(void **state)
{
    struct lua_fixture *fixture = *state;
    assert_run_fails(fixture,
                     "local s = '[' .. ('{},'):rep(24000) .. '{}]' local kept = {} "
                     "while true do pcall(function() kept[#kept + 1] = json.decode(s) end) end",
                     "KiB of memory");
    assert_int_equal(fixture->fault.kind, FAULT_SCRIPT);
    assert_runs(fixture, "return 1", "1");
}

int json_lua_tests(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, lua_fixture_open, lua_fixture_close)
        TEST(json_survives_the_way_through_lua),
        TEST(the_deepest_json_survives),
        TEST(a_value_that_is_too_deep_is_not_pushed),
        TEST(a_table_full_of_itself_is_refused_soon),
        TEST(a_fault_names_the_part),
        TEST(the_mark_of_arrays_is_locked),
        TEST(scripts_have_json),
        TEST(decoding_too_much_ends_the_run),
#undef TEST
    };
    return cmocka_run_group_tests_name("json_lua", tests, NULL, NULL);
}
