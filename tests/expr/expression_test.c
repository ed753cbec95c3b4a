#include "expr_tests.h"
#include "lua_fixture.h"

#include <stdio.h>
#include <string.h>

static struct expression *compile_at(struct lua_fixture *fixture, const char *text, int line)
{
    struct expression *expression = NULL;
    struct lua_source source = {text, line};
    if (!expression_compile(fixture->sandbox, "dir/flow.yaml", "lock-context", source, &expression,
                            &fixture->fault))
        return NULL;
    return expression;
}

static void an_error_names_the_line_of_the_file(void **state)
{
    struct lua_fixture *fixture = *state;
    struct expression *expression = compile_at(fixture, "local a = {}\nreturn a.b.c", 10000);
    assert_non_null(expression);
    assert_false(expression_evaluate(expression, fixture->scope, &fixture->fault));
    assert_int_equal(fixture->fault.kind, FAULT_SCRIPT);
    assert_string_equal(fixture->fault.text,
                        "dir/flow.yaml:10001: attempt to index a nil value (field 'b')");
    expression_free(expression);
}

static void a_text_that_does_not_compile_is_invalid(void **state)
{
    struct lua_fixture *fixture = *state;
    assert_null(compile_at(fixture, "{1,\n2\n\n", 30));
    assert_int_equal(fixture->fault.kind, FAULT_INVALID);
    assert_string_equal(fixture->fault.text,
                        "dir/flow.yaml:31: '}' expected (to close '{' at line 30) near <eof>");
}

static void bytecode_is_refused(void **state)
{
    struct lua_fixture *fixture = *state;
    assert_null(compile_at(fixture, "\x1bLuaT", 1));
    assert_int_equal(fixture->fault.kind, FAULT_INVALID);
}

static void a_long_file_name_is_kept_whole(void **state)
{
    struct lua_fixture *fixture = *state;
    static const char file[] = "/srv/definitions/of/a/large/company/with/long/names/"
                               "in/each/folder/and/a/long/one/workflow.yaml";
    char expected[200];
    struct expression *expression;
    struct lua_source source = {"nothing.x", 5};
    assert_true(
        expression_compile(fixture->sandbox, file, "guard", source, &expression, &fixture->fault));
    assert_false(expression_evaluate(expression, fixture->scope, &fixture->fault));
    snprintf(expected, sizeof expected, "%s:5: attempt to index a nil value (global 'nothing')",
             file);
    assert_string_equal(fixture->fault.text, expected);
    expression_free(expression);
    source.text = "a +";
    assert_false(
        expression_compile(fixture->sandbox, file, "guard", source, &expression, &fixture->fault));
    assert_int_equal(strncmp(fixture->fault.text, file, strlen(file)), 0);
}

static void nil_and_false_are_false_and_all_else_is_true(void **state)
{
    struct lua_fixture *fixture = *state;
    static const struct {
        const char *text;
        bool holds;
    } tests[] = {{"nil", false}, {"false", false}, {"0", true}, {"''", true}, {"{}", true}};
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        bool holds = !tests[i].holds;
        struct expression *expression = compile_at(fixture, tests[i].text, 1);
        assert_true(expression_test(expression, fixture->scope, &holds, &fixture->fault));
        assert_int_equal(holds, tests[i].holds);
        expression_free(expression);
    }
}

static void an_expression_knows_what_it_may_use(void **state)
{
    struct lua_fixture *fixture = *state;
    static const struct {
        const char *text;
        bool uses;
    } tests[] = {
        {"data.message.id", true},
        {"input.data", false},
        {"input . data", false},
        {"input --[[ x ]] .data", false},
        {"input:data()", false},
        {"'x'..data", true},
        {"1 ..data", true},
        {"'data'", false},
        {"\"a\\\"data\"", false},
        {"\"a\\\\\"..data", true},
        {"[[data]]", false},
        {"[==[ ]] data ]==]", false},
        {"[==[ ]] ]==] .. data", true},
        {"1 -- data", false},
        {"1 --[[ \n data \n ]]", false},
        {"1 --[==[ \n ]] data \n ]==]", false},
        {"1 --[[ ]] + data", true},
        {"1 --[ x\n + data", true},
        {"data2", false},
        {"_data", false},
        {"_ENV.data", true},
        {"_ENV['da' .. 'ta']", true},
        {"(...).data", true},
        {"(function() return data end)()", true},
        {"do ::a:: data.f() end", true},
        {"do ::a::data.f() end", true},
        {"{[data] = 1}", true},
        {"not data", true},
        {"#data", true},
        {"0x1p4 + data", true},
        {"'a\\z  \n  ' .. data", true},
        {"'a\\\ndata'", false},
        {"input.x", false},
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        struct expression *expression = compile_at(fixture, tests[i].text, 1);
        if (!expression)
            fail_msg("%s: %s", tests[i].text, fixture->fault.text);
        if (expression_uses(expression, "data") != tests[i].uses)
            fail_msg("%s: uses data: expected %d", tests[i].text, tests[i].uses);
        expression_free(expression);
    }
}

/* A function that outlives its evaluation keeps the names of its own scope. */
static void a_closure_keeps_its_scope(void **state)
{
    struct lua_fixture *fixture = *state;
    lua_State *L = sandbox_lua(fixture->sandbox);
    struct scope *other;
    assert_true(scope_new(fixture->sandbox, &other, &fixture->fault));
    struct expression *expression = compile_at(fixture, "function() return who end", 1);
    json_t *who = json_string("other");
    lua_set(fixture, "who", "\"first\"");
    assert_true(scope_set_json(other, "who", who, &fixture->fault));
    assert_true(expression_evaluate(expression, fixture->scope, &fixture->fault));
    assert_true(expression_evaluate(expression, other, &fixture->fault));
    lua_pop(L, 1);
    lua_call(L, 0, 1);
    assert_string_equal(lua_tostring(L, -1), "first");
    lua_pop(L, 1);
    json_decref(who);
    expression_free(expression);
    scope_free(other);
}

static int yields(lua_State *L)
{
    return lua_yield(L, 0);
}

static void an_expression_cannot_yield_and_has_no_task(void **state)
{
    struct lua_fixture *fixture = *state;
    lua_State *L = sandbox_lua(fixture->sandbox);
    assert_null(task_of(L));
    lua_pushcfunction(L, yields);
    assert_true(scope_set_top(fixture->scope, "yields", &fixture->fault));
    assert_evaluation_fails(fixture, "yields()", "outside a coroutine");
    assert_evaluates(fixture, "1", "1");
}

/* A host function of an expression evaluates another one: the outer limits stay the outer's. */
static int evaluates_inner(lua_State *L)
{
    struct lua_fixture *fixture = lua_touserdata(L, lua_upvalueindex(1));
    json_t *value = lua_evaluate(fixture, "(function() while true do end end)()");
    json_decref(value);
    lua_pushboolean(L, value != NULL);
    return 1;
}

static void evaluations_nest(void **state)
{
    struct lua_fixture *fixture = *state;
    lua_State *L = sandbox_lua(fixture->sandbox);
    lua_pushlightuserdata(L, fixture);
    lua_pushcclosure(L, evaluates_inner, 1);
    assert_true(scope_set_top(fixture->scope, "inner", &fixture->fault));
    assert_runs(fixture, "local a, b = inner(), inner() return {a, b, 7}", "[false, false, 7]");
    assert_run_fails(fixture, "inner() while true do end", "10000000 instructions");
}

int expression_tests(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, lua_fixture_open, lua_fixture_close)
        TEST(an_error_names_the_line_of_the_file),
        TEST(a_text_that_does_not_compile_is_invalid),
        TEST(bytecode_is_refused),
        TEST(a_long_file_name_is_kept_whole),
        TEST(nil_and_false_are_false_and_all_else_is_true),
        TEST(an_expression_knows_what_it_may_use),
        TEST(a_closure_keeps_its_scope),
        TEST(an_expression_cannot_yield_and_has_no_task),
        TEST(evaluations_nest),
#undef TEST
    };
    return cmocka_run_group_tests_name("expression", tests, NULL, NULL);
}
