#include "expr_tests.h"
#include "lua_fixture.h"

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
#undef TEST
    };
    return cmocka_run_group_tests_name("scope", tests, NULL, NULL);
}
