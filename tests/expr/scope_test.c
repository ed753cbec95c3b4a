#include "expr_tests.h"
#include "lua_fixture.h"

#include <lauxlib.h>
#include <string.h>

static void a_name_is_replaced_when_set_again(void **state)
{
    struct lua_fixture *fixture = *state;
    lua_set(fixture, "input", "{\"x\": 1}");
    assert_evaluates(fixture, "input.x", "1");
    lua_set(fixture, "input", "{\"y\": 2}");
    assert_evaluates(fixture, "input", "{\"y\": 2}");
    lua_set(fixture, "input", "null");
    assert_evaluates(fixture, "input == nil", "true");
}

static void scopes_do_not_see_each_other(void **state)
{
    struct lua_fixture *fixture = *state;
    struct scope *first = fixture->scope;
    lua_set(fixture, "mine", "1");
    assert_true(scope_new(fixture->sandbox, &fixture->scope, &fixture->fault));
    assert_evaluates(fixture, "mine == nil", "true");
    scope_free(fixture->scope);
    fixture->scope = first;
    assert_evaluates(fixture, "mine", "1");
}

static void a_value_of_the_stack_can_be_set(void **state)
{
    struct lua_fixture *fixture = *state;
    lua_State *L = sandbox_lua(fixture->sandbox);
    lua_pushinteger(L, 5);
    assert_true(scope_set_top(fixture->scope, "five", &fixture->fault));
    assert_int_equal(lua_gettop(L), 0);
    assert_evaluates(fixture, "five", "5");
}

static void a_value_can_be_pushed(void **state)
{
    struct lua_fixture *fixture = *state;
    lua_State *L = sandbox_lua(fixture->sandbox);
    lua_set(fixture, "a", "1");
    lua_set(fixture, "b", "2");
    scope_push(fixture->scope, L, "b");
    scope_push(fixture->scope, L, "c");
    scope_push(fixture->scope, L, "string");
    assert_int_equal(lua_gettop(L), 3);
    assert_int_equal(lua_tointeger(L, 1), 2);
    assert_true(lua_isnil(L, 2));
    assert_true(lua_isnil(L, 3));
    lua_settop(L, 0);
}

static void a_global_of_a_task_does_not_reach_the_scope(void **state)
{
    struct lua_fixture *fixture = *state;
    assert_runs(fixture, "x = 1 string = 2 return {x, string}", "[1, 2]");
    assert_runs(fixture, "return x == nil and string ~= 2", "true");
    assert_runs(fixture, "rawset(_ENV, 'x', 1) _ENV.y = 2 return {x, y}", "[1, 2]");
    assert_runs(fixture, "return x == nil and y == nil and _G == nil", "true");
    assert_evaluates(fixture, "x == nil and y == nil", "true");
    assert_run_fails(fixture, "string.rep = nil", "read-only");
    assert_run_fails(fixture, "math.pi = 3", "read-only");
    assert_run_fails(fixture, "json.null = 3", "read-only");
    assert_run_fails(fixture, "rawset(json, 'null', 3)", "read-only");
    assert_run_fails(fixture, "getmetatable(_ENV).__index = 1", "index a boolean");
}

/* What a script changes in a shared value stays in its scope, whose execution it belongs to. */
static void a_value_is_shared_within_its_scope(void **state)
{
    struct lua_fixture *fixture = *state;
    lua_set(fixture, "output", "{}");
    assert_runs(fixture, "output.x = 1", "null");
    assert_runs(fixture, "return output", "{\"x\": 1}");
}

struct supplier {
    const json_t *value;
    int n_asked;
};

static bool supply(lua_State *L, const char *name, void *arg)
{
    struct supplier *supplier = arg;
    supplier->n_asked++;
    if (strcmp(name, "broken") == 0)
        return luaL_error(L, "the source raised");
    if (strcmp(name, "input") != 0)
        return false;
    json_lua_push(L, supplier->value);
    return true;
}

static void a_source_is_asked_for_what_is_read(void **state)
{
    struct lua_fixture *fixture = *state;
    lua_State *L = sandbox_lua(fixture->sandbox);
    struct supplier supplier = {.value = json_pack("{s:i}", "x", 1)};
    lua_set(fixture, "mine", "3");
    scope_set_source(fixture->scope, supply, &supplier);
    assert_evaluates(fixture, "mine + #string.rep('a', 2)", "5");
    assert_int_equal(supplier.n_asked, 0);
    scope_push(fixture->scope, L, "input");
    assert_true(lua_isnil(L, -1));
    lua_pop(L, 1);
    assert_evaluates(fixture, "input.x + input.x", "2");
    assert_runs(fixture, "return input.x", "1");
    assert_int_equal(supplier.n_asked, 1);
    assert_evaluates(fixture, "other == nil", "true");
    assert_evaluation_fails(fixture, "broken", "the source raised");
    assert_run_fails(fixture, "return broken", "the source raised");
    scope_set_source(fixture->scope, NULL, NULL);
    json_decref((json_t *)supplier.value);
}

static void a_cleared_scope_is_as_new(void **state)
{
    struct lua_fixture *fixture = *state;
    struct supplier supplier = {.value = json_pack("{s:i}", "x", 1)};
    scope_set_source(fixture->scope, supply, &supplier);
    lua_set(fixture, "mine", "3");
    assert_runs(fixture, "input.x = 2 global = 1", "null");
    assert_evaluates(fixture, "input.x + mine", "5");
    scope_clear(fixture->scope);
    assert_evaluates(fixture, "input.x", "1");
    assert_evaluates(fixture, "mine == nil and global == nil", "true");
    assert_runs(fixture, "return mine == nil and global == nil and input.x == 1", "true");
    scope_set_source(fixture->scope, NULL, NULL);
    json_decref((json_t *)supplier.value);
}

/* A megabyte of input is not what the expression took. */
static void what_a_source_makes_counts_for_no_limit(void **state)
{
    struct lua_fixture *fixture = *state;
    struct supplier supplier = {.value = json_array()};
    for (int i = 0; i < 40000; i++)
        json_array_append_new((json_t *)supplier.value, json_pack("{s:i}", "x", i));
    scope_set_source(fixture->scope, supply, &supplier);
    assert_evaluates(fixture, "#input", "40000");
    scope_clear(fixture->scope);
    assert_evaluates(fixture, "(pcall(function() return #input end))", "true");
    scope_set_source(fixture->scope, NULL, NULL);
    json_decref((json_t *)supplier.value);
}

/* The coroutine of a task that ended serves the next: nothing is left on it. */
static void a_task_sees_nothing_of_the_one_before(void **state)
{
    struct lua_fixture *fixture = *state;
    assert_runs(fixture, "local a, b = 1, {} x = a return a, b, x", "1");
    assert_run_fails(fixture, "y = 1 error('stopped')", "stopped");
    assert_runs(fixture, "local a, b return a == nil and b == nil and x == nil and y == nil",
                "true");
    assert_runs(fixture, "return select('#', ...)", "1"); /* its environment, and no more */
}

int scope_tests(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, lua_fixture_open, lua_fixture_close)
        TEST(a_name_is_replaced_when_set_again),
        TEST(scopes_do_not_see_each_other),
        TEST(a_value_of_the_stack_can_be_set),
        TEST(a_value_can_be_pushed),
        TEST(a_global_of_a_task_does_not_reach_the_scope),
        TEST(a_value_is_shared_within_its_scope),
        TEST(a_source_is_asked_for_what_is_read),
        TEST(a_cleared_scope_is_as_new),
        TEST(what_a_source_makes_counts_for_no_limit),
        TEST(a_task_sees_nothing_of_the_one_before),
#undef TEST
    };
    return cmocka_run_group_tests_name("scope", tests, NULL, NULL);
}
