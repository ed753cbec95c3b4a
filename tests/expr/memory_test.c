/* Every allocation of Lua fails once: the cap on the state is raised step by step, so that each
 * function meets the end of memory at each of its places. */
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

int memory_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_lack_of_memory_is_a_fault),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
