#include "lua_fixture.h"

#include <stdlib.h>
#include <string.h>

struct lua_fixture *lua_fixture_new(const struct sandbox_limits *limits)
{
    struct lua_fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    assert_true(sandbox_new(limits, &fixture->sandbox, &fixture->fault));
    assert_true(scope_new(fixture->sandbox, &fixture->scope, &fixture->fault));
    return fixture;
}

void lua_fixture_free(struct lua_fixture *fixture)
{
    assert_int_equal(lua_gettop(sandbox_lua(fixture->sandbox)), 0);
    scope_free(fixture->scope);
    sandbox_free(fixture->sandbox);
    free(fixture);
}

int lua_fixture_open(void **state)
{
    struct sandbox_limits limits = sandbox_default_limits();
    *state = lua_fixture_new(&limits);
    return 0;
}

int lua_fixture_close(void **state)
{
    lua_fixture_free(*state);
    return 0;
}

json_t *lua_evaluate(struct lua_fixture *fixture, const char *text)
{
    struct expression *expression;
    json_t *value = NULL;
    lua_State *L = sandbox_lua(fixture->sandbox);
    struct lua_source source = {text, 1};
    if (!expression_compile(fixture->sandbox, "test.yaml", "guard", source, &expression,
                            &fixture->fault))
        return NULL;
    if (expression_evaluate(expression, fixture->scope, &fixture->fault)) {
        if (!json_lua_read(L, -1, "value", &value, &fixture->fault))
            value = NULL;
        lua_pop(L, 1);
    }
    expression_free(expression);
    return value;
}

json_t *lua_run(struct lua_fixture *fixture, const char *text)
{
    struct chunk *chunk;
    struct task *task;
    json_t *value = NULL;
    struct lua_source source = {text, 1};
    if (!chunk_compile(fixture->sandbox, "test.yaml", "script", source, &chunk, &fixture->fault))
        return NULL;
    assert_true(task_new(fixture->sandbox, chunk, fixture->scope, NULL, &task, &fixture->fault));
    enum task_state state = TASK_SLICED;
    while (state == TASK_SLICED || state == TASK_YIELDED)
        state = task_resume(task, 0, &fixture->fault);
    if (state == TASK_DONE) {
        if (task_n_values(task) == 0)
            value = json_null();
        else if (!json_lua_read(task_lua(task), -task_n_values(task), "value", &value,
                                &fixture->fault))
            value = NULL;
    }
    task_free(task);
    chunk_free(chunk);
    return value;
}

void lua_set(struct lua_fixture *fixture, const char *name, const char *json_text)
{
    json_t *value;
    assert_true(json_read(name, json_text, strlen(json_text), &value, &fixture->fault));
    assert_true(scope_set_json(fixture->scope, name, value, &fixture->fault));
    json_decref(value);
}

static void check(struct lua_fixture *fixture, const char *text, json_t *value,
                  const char *json_text)
{
    json_t *expected;
    if (!value)
        fail_msg("%s: %s", text, fixture->fault.text);
    assert_true(json_read("expected", json_text, strlen(json_text), &expected, &fixture->fault));
    if (!json_equal(value, expected)) {
        char *got = json_write(value);
        print_error("%s: got %s, expected %s\n", text, got, json_text);
        free(got);
        fail();
    }
    json_decref(expected);
    json_decref(value);
}

static void check_fault(struct lua_fixture *fixture, const char *text, json_t *value,
                        const char *part)
{
    if (value) {
        char *got = json_write(value);
        print_error("%s: got %s, expected a fault with '%s'\n", text, got, part);
        free(got);
        fail();
    }
    if (!strstr(fixture->fault.text, part))
        fail_msg("%s: fault '%s' has no '%s'", text, fixture->fault.text, part);
}

void assert_evaluates(struct lua_fixture *fixture, const char *text, const char *json_text)
{
    check(fixture, text, lua_evaluate(fixture, text), json_text);
}

void assert_evaluation_fails(struct lua_fixture *fixture, const char *text, const char *part)
{
    check_fault(fixture, text, lua_evaluate(fixture, text), part);
}

void assert_runs(struct lua_fixture *fixture, const char *text, const char *json_text)
{
    check(fixture, text, lua_run(fixture, text), json_text);
}

void assert_run_fails(struct lua_fixture *fixture, const char *text, const char *part)
{
    check_fault(fixture, text, lua_run(fixture, text), part);
}
