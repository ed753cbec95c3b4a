/*
 * Every allocation fails once, in two ways: the cap on the state is raised step by step, so that
 * each function meets the end of Lua's memory at each of its places; and the machine's memory ends.
 */
#include "allocation.h"
#include "expr_tests.h"
#include "lua_fixture.h"

#include <string.h>

/* True if everything went through under this cap. */
static bool try_all(size_t state_bytes)
{
    static const char input[] = "{\"list\": [1, 2, {\"a\": \"some text that is longer than forty "
                                "bytes, so no short string\"}], \"x\": 1.5}";
    struct sandbox_limits limits = sandbox_default_limits();
    struct sandbox *sandbox = NULL;
    struct scope *scope = NULL;
    struct expression *expression = NULL;
    struct chunk *chunk = NULL;
    struct task *task = NULL;
    struct fault fault = {.kind = FAULT_NONE};
    json_t *value = NULL;
    json_t *output = NULL;
    limits.state_bytes = state_bytes;
    assert_true(json_read("input", input, strlen(input), &value, &fault));
    struct lua_source guard = {"#input.list == 3 and ('x'):rep(100):gsub('x', 'y') ~= ''", 1};
    struct lua_source script = {"local t = json.decode('[1, {}]') y = {json.encode(t), "
                                "pcall(error, 'x')} return {y, ('%s'):format(input)}",
                                1};
    bool holds = false;
    allocation_resume();
    bool ok = sandbox_new(&limits, &sandbox, &fault) && scope_new(sandbox, &scope, &fault) &&
              scope_set_json(scope, "input", value, &fault) &&
              expression_compile(sandbox, "a.yaml", "guard", guard, &expression, &fault) &&
              expression_test(expression, scope, &holds, &fault) &&
              chunk_compile(sandbox, "a.yaml", "script", script, &chunk, &fault) &&
              task_new(sandbox, chunk, scope, NULL, &task, &fault);
    if (ok) {
        enum task_state task_state = task_resume(task, 0, &fault);
        ok =
            task_state == TASK_DONE && json_lua_read(task_lua(task), -1, "output", &output, &fault);
        scope_push(scope, task_lua(task), "input");
    }
    allocation_pause();
    assert_true(ok || fault.kind == FAULT_EXHAUSTED);
    assert_true(!sandbox || lua_gettop(sandbox_lua(sandbox)) == 0);
    json_decref(output);
    json_decref(value);
    task_free(task);
    chunk_free(chunk);
    expression_free(expression);
    scope_free(scope);
    sandbox_free(sandbox);
    return ok;
}

static void every_lack_of_memory_is_a_fault(void **state)
{
    (void)state;
    size_t bytes = 512;
    int n_failed = 0;
    while (!try_all(bytes)) {
        n_failed++;
        bytes += 24;
        assert_true(bytes < 1 << 20);
    }
    assert_true(n_failed > 200);
}

static void try_without_machine_memory(void *arg, bool must_succeed)
{
    (void)arg;
    assert_true(try_all((size_t)256 << 20) || !must_succeed);
}

static void every_lack_of_the_machine_s_memory_is_a_fault(void **state)
{
    (void)state;
    assert_true(allocation_fail_each(try_without_machine_memory, NULL) > 200);
}

/* The sandbox and its scope live on while compiling, evaluating and running fail in them. */
static void try_in_old_sandbox(void *arg, bool must_succeed)
{
    struct lua_fixture *fixture = arg;
    struct expression *expression = NULL;
    struct chunk *chunk = NULL;
    struct task *task = NULL;
    struct fault fault = {.kind = FAULT_NONE};
    struct lua_source guard = {"#input.list == 3 and ('x'):rep(300):gsub('x', 'y') ~= ''", 1};
    struct lua_source script = {"local t = {} for i = 1, 50 do t[i] = {i .. ' of a text that is "
                                "not short at all'} end return #t",
                                1};
    bool holds = false;
    lua_Integer n = 0;
    allocation_resume();
    bool ok = expression_compile(fixture->sandbox, "a.yaml", "guard", guard, &expression, &fault) &&
              expression_test(expression, fixture->scope, &holds, &fault) &&
              chunk_compile(fixture->sandbox, "a.yaml", "script", script, &chunk, &fault) &&
              task_new(fixture->sandbox, chunk, fixture->scope, NULL, &task, &fault);
    if (ok) {
        ok = task_resume(task, 0, &fault) == TASK_DONE;
        n = ok ? lua_tointeger(task_lua(task), -1) : 0;
    }
    allocation_pause();
    assert_true(ok || !must_succeed);
    if (ok) {
        assert_true(holds);
        assert_int_equal(n, 50);
    } else {
        assert_int_equal(fault.kind, FAULT_EXHAUSTED);
    }
    task_free(task);
    chunk_free(chunk);
    expression_free(expression);
    assert_evaluates(fixture, "#input.list + 1", "4");
}

static void a_sandbox_outlives_every_lack_of_memory(void **state)
{
    struct lua_fixture *fixture = *state;
    lua_set(fixture, "input", "{\"list\": [1, 2, 3]}");
    assert_true(allocation_fail_each(try_in_old_sandbox, fixture) > 100);
    try_in_old_sandbox(fixture, /* must_succeed= */ true);
}

int memory_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_lack_of_memory_is_a_fault),
        cmocka_unit_test(every_lack_of_the_machine_s_memory_is_a_fault),
        cmocka_unit_test_setup_teardown(a_sandbox_outlives_every_lack_of_memory, lua_fixture_open,
                                        lua_fixture_close),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
