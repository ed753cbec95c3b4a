/*
 * How many lock contexts a second one core evaluates, under all limits.
 *     bench_expr [EVALUATIONS]
 */
#include "clock.h"
#include "expression.h"
#include "json_lua.h"
#include "task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bench {
    struct sandbox *sandbox;
    struct expression *expression;
    struct chunk *chunk;
    json_t *input;
    int64_t n;
};

static void fail(const struct fault *fault)
{
    fprintf(stderr, "bench_expr: %s\n", fault->text);
    exit(1);
}

static void evaluate(struct bench *bench, struct scope *scope)
{
    struct fault fault;
    if (!expression_evaluate(bench->expression, scope, &fault))
        fail(&fault);
    lua_pop(sandbox_lua(bench->sandbox), 1);
}

static struct scope *new_scope(struct bench *bench)
{
    struct fault fault;
    struct scope *scope;
    if (!scope_new(bench->sandbox, &scope, &fault) ||
        !scope_set_json(scope, "input", bench->input, &fault))
        fail(&fault);
    return scope;
}

static void in_one_scope(struct bench *bench)
{
    struct scope *scope = new_scope(bench);
    for (int64_t i = 0; i < bench->n; i++)
        evaluate(bench, scope);
    scope_free(scope);
}

static bool push_input(lua_State *L, const char *name, void *arg)
{
    const struct bench *bench = arg;
    if (strcmp(name, "input") != 0)
        return false;
    json_lua_push(L, bench->input);
    return true;
}

static void with_fresh_values(struct bench *bench)
{
    struct scope *scope = new_scope(bench);
    scope_set_source(scope, push_input, bench);
    for (int64_t i = 0; i < bench->n; i++) {
        scope_clear(scope);
        evaluate(bench, scope);
    }
    scope_free(scope);
}

static void as_tasks(struct bench *bench)
{
    struct fault fault;
    struct task *task;
    struct scope *scope = new_scope(bench);
    for (int64_t i = 0; i < bench->n; i++) {
        if (!task_new(bench->sandbox, bench->chunk, scope, NULL, &task, &fault) ||
            task_resume(task, 0, &fault) != TASK_DONE)
            fail(&fault);
        task_free(task);
    }
    scope_free(scope);
}

static void measure(struct bench *bench, const char *what, void (*body)(struct bench *))
{
    int64_t start_us = clock_monotonic_us();
    body(bench);
    int64_t took_us = clock_monotonic_us() - start_us;
    printf("%-32s %10.0f /s   state %7.1f KiB\n", what, (double)bench->n * 1e6 / (double)took_us,
           (double)sandbox_bytes(bench->sandbox) / 1024);
}

int main(int argc, char **argv)
{
    struct fault fault;
    struct sandbox_limits limits = sandbox_default_limits();
    struct bench bench = {.n = argc > 1 ? atoll(argv[1]) : 2000000};
    bench.input = json_pack("{s:i}", "message_id", 42);
    if (!bench.input || !sandbox_new(&limits, &bench.sandbox, &fault) ||
        !expression_compile(bench.sandbox, "bench.yaml", "lock-context",
                            (struct lua_source){"{\"message\", input.message_id}", 1},
                            &bench.expression, &fault) ||
        !chunk_compile(bench.sandbox, "bench.yaml", "script",
                       (struct lua_source){"local x = input.message_id + 1 return x", 1},
                       &bench.chunk, &fault))
        fail(&fault);
    measure(&bench, "evaluations, one scope", in_one_scope);
    measure(&bench, "evaluations, fresh values each", with_fresh_values);
    measure(&bench, "tasks of a script", as_tasks);
    expression_free(bench.expression);
    chunk_free(bench.chunk);
    sandbox_free(bench.sandbox);
    json_decref(bench.input);
    return 0;
}
