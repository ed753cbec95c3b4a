/* Each allocation of paths, sets, contexts and queues fails once. */
#include "allocation.h"
#include "lock_context.h"
#include "lock_queue.h"
#include "locks_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum {
    N_PATHS = 6,
};

static const char *const texts[N_PATHS] = {"message/42", "invoice/7/line/3", "invoice/7", "a/b/c/d",
                                           "a-b",        "$instance/7"};

static void must_be_memory(const struct fault *fault, bool ok, bool must_succeed)
{
    assert_true(ok || !must_succeed);
    if (!ok)
        assert_int_equal(fault->kind, FAULT_EXHAUSTED);
}

static void try_set(void *arg, bool must_succeed)
{
    (void)arg;
    struct lock_path *paths[N_PATHS + 1] = {NULL};
    struct lock_set *set = NULL;
    struct lock_segment segments[2] = {{"one", 3}, {"%", 1}};
    struct fault fault = {.kind = FAULT_NONE};
    allocation_resume();
    bool ok = lock_path_new(segments, 2, &paths[N_PATHS], &fault);
    for (int i = 0; ok && i < N_PATHS; i++)
        ok = lock_path_parse(texts[i], &paths[i], &fault);
    ok = ok && lock_set_new(paths, N_PATHS + 1, "latchkey", &set, &fault);
    allocation_pause();
    must_be_memory(&fault, ok, must_succeed);
    if (ok) /* invoice/7 covers its line */
        assert_int_equal(lock_set_n_paths(set), N_PATHS);
    lock_set_free(set);
    for (int i = 0; i <= N_PATHS; i++)
        lock_path_free(paths[i]);
}

static void paths_and_sets_without_memory_are_exhausted(void **state)
{
    (void)state;
    assert_true(allocation_fail_each(try_set, NULL) > 12);
}

/* One sandbox for all attempts: what failed in it leaves nothing behind. */
static void try_context(void *arg, bool must_succeed)
{
    struct sandbox *sandbox = arg;
    struct scope *scope = NULL;
    struct expression *expression = NULL;
    struct lock_set *set = NULL;
    struct fault fault = {.kind = FAULT_NONE};
    struct lua_source source = {"{{\"message\", 7, (\"x\"):rep(60)}, {\"invoice\", 8.0, true}}", 1};
    allocation_resume();
    bool ok = scope_new(sandbox, &scope, &fault) &&
              lock_context_compile(sandbox, "a.yaml", source, &expression, &fault);
    if (ok)
        lock_context_offer(scope);
    bool evaluated = ok && expression_evaluate(expression, scope, &fault);
    ok = evaluated && lock_context_read(sandbox_lua(sandbox), -1, "latchkey", &set, &fault);
    allocation_pause();
    if (evaluated)
        lua_pop(sandbox_lua(sandbox), 1);
    must_be_memory(&fault, ok, must_succeed);
    if (ok)
        assert_int_equal(lock_set_n_paths(set), 2);
    assert_int_equal(lua_gettop(sandbox_lua(sandbox)), 0);
    lock_set_free(set);
    expression_free(expression);
    scope_free(scope);
}

static void a_lock_context_without_memory_is_exhausted_and_never_another(void **state)
{
    (void)state;
    struct sandbox_limits limits = sandbox_default_limits();
    struct sandbox *sandbox;
    struct fault fault;
    assert_true(sandbox_new(&limits, &sandbox, &fault));
    assert_true(allocation_fail_each(try_context, sandbox) > 40);
    try_context(sandbox, /* must_succeed= */ true);
    sandbox_free(sandbox);
}

static struct lock_set *set_of(const char *text)
{
    struct lock_path *path;
    struct lock_set *set;
    struct fault fault;
    assert_true(lock_path_parse(text, &path, &fault));
    assert_true(lock_set_new(&path, 1, "latchkey", &set, &fault));
    lock_path_free(path);
    return set;
}

/* A ticket that could not join has changed nothing: the others keep their turns. */
static void try_queue(void *arg, bool must_succeed)
{
    (void)arg;
    struct lock_queue *queue = NULL;
    struct lock_ticket *tickets[N_PATHS] = {NULL};
    struct fault fault = {.kind = FAULT_NONE};
    allocation_resume();
    bool ok = lock_queue_new(&queue, &fault);
    allocation_pause();
    must_be_memory(&fault, ok, must_succeed);
    if (!ok)
        return;
    for (int i = 0; i < N_PATHS; i++) {
        struct lock_set *set = set_of(texts[i]);
        allocation_resume();
        ok = lock_queue_join(queue, set, NULL, &tickets[i], &fault);
        allocation_pause();
        must_be_memory(&fault, ok, must_succeed);
        if (!ok) {
            assert_true(lock_queue_join(queue, set, NULL, &tickets[i], &fault));
            must_succeed = false;
        }
        assert_int_equal(lock_ticket_has_turn(tickets[i]), i != 2);
        lock_set_free(set);
    }
    lock_queue_leave(tickets[1]);
    assert_true(lock_ticket_has_turn(tickets[2]));
    for (int i = 0; i < N_PATHS; i++)
        if (i != 1)
            lock_queue_leave(tickets[i]);
    lock_queue_free(queue);
}

static void a_queue_without_memory_is_as_before(void **state)
{
    (void)state;
    assert_true(allocation_fail_each(try_queue, NULL) > 20);
}

int memory_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_and_sets_without_memory_are_exhausted),
        cmocka_unit_test(a_lock_context_without_memory_is_exhausted_and_never_another),
        cmocka_unit_test(a_queue_without_memory_is_as_before),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
