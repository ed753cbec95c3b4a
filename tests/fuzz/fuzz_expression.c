/*
 * What a designer writes, under tight limits. The first byte says as what:
 *
 *   E   an expression
 *   L   a lock context; as an expression, its value must mean the same paths
 *   T   a script; stopped at every instruction, it must return the same
 *
 * Whatever it is, it ends in time, leaves the stack as it was and keeps to its memory.
 */
#include "fuzz.h"
#include "json_lua.h"
#include "lock_context.h"
#include "task.h"

#include <string.h>

enum {
    SLICES_MAX = 1000000,
    STATE_BYTES = 4 << 20,
};

struct bench {
    struct sandbox *sandbox;
    struct scope *scope;
};

/* The names that are in sight. */
static const char *const context[][2] = {
    {"input", "{\"id\": 7, \"name\": \"abc\", \"list\": [1, 2.5, null, [\"x\"]], \"none\": null,"
              " \"text\": \"some text that is longer than forty bytes, so not short\"}"},
    {"data", "{\"row\": {\"value\": 41, \"open\": true}}"},
    {"vars", "{}"},
};

/* A host function of scripts: yields what it was given, and gets it back. */
static int ask(lua_State *L)
{
    return lua_yield(L, lua_gettop(L));
}

static struct bench bench_open(int64_t slice_us, int check_every)
{
    struct sandbox_limits limits = sandbox_default_limits();
    struct bench bench;
    struct fault fault;
    limits.state_bytes = STATE_BYTES;
    limits.expression_instructions = 20000;
    limits.script_instructions = 20000;
    limits.expression_bytes = limits.script_bytes = 512 << 10;
    limits.slice_us = slice_us;
    limits.check_every = check_every;
    MUST(sandbox_new(&limits, &bench.sandbox, &fault));
    MUST(scope_new(bench.sandbox, &bench.scope, &fault));
    for (size_t i = 0; i < sizeof context / sizeof *context; i++) {
        json_t *value;
        MUST(json_read(context[i][0], context[i][1], strlen(context[i][1]), &value, &fault));
        MUST(scope_set_json(bench.scope, context[i][0], value, &fault));
        json_decref(value);
    }
    lock_context_offer(bench.scope);
    return bench;
}

static void bench_close(struct bench *bench)
{
    MUST(lua_gettop(sandbox_lua(bench->sandbox)) == 0);
    MUST(sandbox_bytes(bench->sandbox) <= STATE_BYTES);
    scope_free(bench->scope);
    sandbox_free(bench->sandbox);
}

static void must_be_told(const struct fault *fault)
{
    MUST(fault->kind == FAULT_INVALID || fault->kind == FAULT_SCRIPT ||
         fault->kind == FAULT_EXHAUSTED);
    MUST(fault->text[0] && !strchr(fault->text, '\n'));
}

/* Leaves the value on the stack if there is one. */
static bool evaluate(struct bench *bench, struct expression *expression)
{
    struct fault fault = {.kind = FAULT_NONE};
    bool evaluated = expression_evaluate(expression, bench->scope, &fault);
    if (!evaluated)
        must_be_told(&fault);
    MUST(lua_gettop(sandbox_lua(bench->sandbox)) == evaluated);
    return evaluated;
}

static struct expression *compile(struct bench *bench, const char *text, bool is_context)
{
    struct fault fault = {.kind = FAULT_NONE};
    struct expression *expression = NULL;
    struct lua_source source = {text, 1};
    if (is_context
            ? lock_context_compile(bench->sandbox, "f.yaml", source, &expression, &fault)
            : expression_compile(bench->sandbox, "f.yaml", "guard", source, &expression, &fault))
        return expression;
    must_be_told(&fault);
    return NULL;
}

static void run_expression(const char *text)
{
    struct bench bench = bench_open(3000, 1000);
    struct expression *expression = compile(&bench, text, /* is_context= */ false);
    if (expression && evaluate(&bench, expression)) {
        struct fault fault = {.kind = FAULT_NONE};
        json_t *value = NULL;
        if (!json_lua_read(sandbox_lua(bench.sandbox), -1, "value", &value, &fault))
            must_be_told(&fault);
        json_decref(value);
        lua_pop(sandbox_lua(bench.sandbox), 1);
    }
    expression_free(expression);
    bench_close(&bench);
}

/* The paths of the value on top, which is popped; NULL if it is none. */
static struct lock_set *take_paths(struct bench *bench)
{
    struct fault fault = {.kind = FAULT_NONE};
    struct lock_set *set = NULL;
    lua_State *L = sandbox_lua(bench->sandbox);
    if (!lock_context_read(L, -1, "latchkey", &set, &fault))
        must_be_told(&fault);
    lua_pop(L, 1);
    return set;
}

static void run_lock_context(const char *text)
{
    struct bench bench = bench_open(3000, 1000);
    struct expression *guarded = compile(&bench, text, /* is_context= */ true);
    struct expression *plain = compile(&bench, text, /* is_context= */ false);
    struct lock_set *set = NULL;
    struct lock_set *plain_set = NULL;
    MUST(plain || !guarded);
    if (guarded && evaluate(&bench, guarded))
        set = take_paths(&bench);
    if (set && evaluate(&bench, plain)) {
        plain_set = take_paths(&bench);
        MUST(plain_set && lock_set_equal(set, plain_set));
    }
    lock_set_free(plain_set);
    lock_set_free(set);
    expression_free(plain);
    expression_free(guarded);
    bench_close(&bench);
}

/* True if the script came to its end; *out is its first value as JSON, or NULL. */
static bool run_to_end(struct bench *bench, const char *text, json_t **out)
{
    struct fault fault = {.kind = FAULT_NONE};
    struct chunk *chunk = NULL;
    struct task *task = NULL;
    struct lua_source source = {text, 1};
    enum task_state state = TASK_FAILED;
    *out = NULL;
    lua_pushcfunction(sandbox_lua(bench->sandbox), ask);
    MUST(scope_set_top(bench->scope, "ask", &fault));
    if (!chunk_compile(bench->sandbox, "f.yaml", "script", source, &chunk, &fault)) {
        must_be_told(&fault);
        return false;
    }
    MUST(task_new(bench->sandbox, chunk, bench->scope, NULL, &task, &fault));
    int n_slices = 0;
    do {
        int n_args = n_slices > 0 && state == TASK_YIELDED ? task_n_values(task) : 0;
        state = task_resume(task, n_args, &fault);
        MUST(++n_slices < SLICES_MAX);
    } while (state == TASK_SLICED || state == TASK_YIELDED);
    if (state == TASK_FAILED)
        must_be_told(&fault);
    else if (task_n_values(task) > 0 &&
             !json_lua_read(task_lua(task), -task_n_values(task), "value", out, &fault))
        must_be_told(&fault);
    task_free(task);
    chunk_free(chunk);
    return state == TASK_DONE;
}

/* The order of pairs is free, and differs between two states. */
static bool is_determined(const char *text)
{
    return !strstr(text, "pairs") && !strstr(text, "next");
}

static void run_script(const char *text)
{
    struct bench plain = bench_open(3000, 1000);
    struct bench sliced = bench_open(/* slice_us= */ 0, /* check_every= */ 1);
    json_t *value = NULL;
    json_t *sliced_value = NULL;
    if (run_to_end(&plain, text, &value) && run_to_end(&sliced, text, &sliced_value) &&
        is_determined(text))
        MUST((!value && !sliced_value) || json_equal(value, sliced_value));
    json_decref(value);
    json_decref(sliced_value);
    bench_close(&plain);
    bench_close(&sliced);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    if (n_bytes == 0)
        return 0;
    char *text = strndup((const char *)bytes + 1, n_bytes - 1);
    MUST(text);
    switch (bytes[0]) {
    case 'L': run_lock_context(text); break;
    case 'T': run_script(text); break;
    default: run_expression(text); break;
    }
    free(text);
    return 0;
}
