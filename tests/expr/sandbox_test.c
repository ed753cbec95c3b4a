#include "clock.h"
#include "cpu_clock.h"
#include "expr_tests.h"
#include "lua_fixture.h"

#include <string.h>

static void a_sandbox_has_default_limits(void **state)
{
    (void)state;
    struct sandbox_limits limits = sandbox_default_limits();
    assert_int_equal(limits.expression_instructions, 100000);
    assert_int_equal(limits.script_instructions, 10000000);
    assert_int_equal(limits.expression_us, 50000);
    assert_int_equal(limits.expression_bytes, 1 << 20);
    assert_int_equal(limits.script_bytes, 16 << 20);
    assert_int_equal(limits.state_bytes, 256 << 20);
}

static void an_expression_has_its_instructions_and_no_more(void **state)
{
    struct lua_fixture *fixture = *state;
    assert_evaluates(fixture, "(function() for i = 1, 90000 do end return 1 end)()", "1");
    assert_evaluation_fails(fixture, "(function() for i = 1, 110000 do end return 1 end)()",
                            "test.yaml:1: ran over 100000 instructions");
}

static void an_expression_ends_by_time(void **state)
{
    (void)state;
    struct sandbox_limits limits = sandbox_default_limits();
    limits.expression_instructions = INT64_MAX / 2;
    struct lua_fixture *fixture = lua_fixture_new(&limits);
    int64_t start_us = clock_monotonic_us();
    assert_evaluation_fails(fixture, "while true do end", "test.yaml:1: ran over 50 ms");
    assert_evaluation_fails(fixture, "('a'):rep(5000):find('.-.-.-.-b')", "ran over 50 ms");
    assert_evaluation_fails(fixture, "while true do pcall(function() while true do end end) end",
                            "ran over 50 ms");
    int64_t took_us = clock_monotonic_us() - start_us;
    assert_in_range(took_us, 150000, 20000000);
    lua_fixture_free(fixture);
}

static void an_expression_has_its_memory_and_no_more(void **state)
{
    struct lua_fixture *fixture = *state;
    assert_evaluation_fails(fixture,
                            "local s = ('x'):rep(400000)\nlocal t = ('y'):rep(400000)\n"
                            "local u = ('z'):rep(400000)\nreturn 1",
                            "test.yaml:3: used over 1024 KiB of memory");
    assert_evaluates(fixture, "#('x'):rep(400000)", "400000");
    assert_evaluation_fails(fixture, "('x'):rep(600000)", "resulting string too large");
}

/* Only what is alive counts in the end, also where a big state makes the collector slow to come. */
static void garbage_may_exceed_the_limit(void **state)
{
    struct lua_fixture *fixture = *state;
    json_t *big = json_array();
    for (int i = 0; i < 2000000; i++)
        json_array_append_new(big, json_integer(i));
    assert_true(scope_set_json(fixture->scope, "big", big, &fixture->fault));
    json_decref(big);
    lua_gc(sandbox_lua(fixture->sandbox), LUA_GCCOLLECT);
    assert_runs(fixture,
                "for i = 1, 200000 do local t = {i} end local s = ('x'):rep(5 << 20) return #s",
                "5242880");
    assert_true(sandbox_bytes(fixture->sandbox) < (size_t)64 << 20);
}

/* Processor time of the longest turn of a script that makes garbage and then runs out of memory. */
static int64_t longest_turn_us(struct lua_fixture *fixture)
{
    struct lua_source script = {"for i = 1, 200000 do local t = {i} end "
                                "local t = {} while true do t[#t + 1] = {} end",
                                1};
    struct chunk *chunk;
    struct task *task;
    int64_t longest_us = 0;
    enum task_state went = TASK_SLICED;
    assert_true(
        chunk_compile(fixture->sandbox, "test.yaml", "script", script, &chunk, &fixture->fault));
    assert_true(task_new(fixture->sandbox, chunk, fixture->scope, NULL, &task, &fixture->fault));
    while (went == TASK_SLICED) {
        int64_t start_us = cpu_clock_us();
        went = task_resume(task, 0, &fixture->fault);
        int64_t took_us = cpu_clock_us() - start_us;
        longest_us = took_us > longest_us ? took_us : longest_us;
    }
    assert_int_equal(went, TASK_FAILED);
    assert_non_null(strstr(fixture->fault.text, "used over 16384 KiB of memory"));
    task_free(task);
    chunk_free(chunk);
    return longest_us;
}

/* The state is one for all scripts. However much others keep there, nobody's turn may be as long as
 * it takes to collect the garbage of all. */
static void a_turn_stays_short_in_a_big_state(void **state)
{
    struct lua_fixture *fixture = *state;
    json_t *big = json_array();
    for (int i = 0; i < 1000; i++) {
        json_t *part = json_array();
        for (int k = 0; k < 1000; k++)
            json_array_append_new(part, json_array());
        json_array_append_new(big, part);
    }
    assert_true(scope_set_json(fixture->scope, "big", big, &fixture->fault));
    json_decref(big);
    int64_t longest_us = 0, whole_us = 0;
    for (int i = 0; i < 4 && longest_us >= whole_us; i++) { /* malloc, too, has its long moments */
        int64_t start_us = cpu_clock_us();
        lua_gc(sandbox_lua(fixture->sandbox), LUA_GCCOLLECT);
        whole_us = (cpu_clock_us() - start_us) * 3 / 4;
        longest_us = longest_turn_us(fixture);
    }
    assert_in_range(longest_us, 1, whole_us);
}

static void memory_does_not_grow_over_many_evaluations(void **state)
{
    struct lua_fixture *fixture = *state;
    struct expression *expression;
    struct lua_source source = {"{'message', input.message_id, {('x'):rep(20)}}", 1};
    lua_set(fixture, "input", "{\"message_id\": 7}");
    assert_true(expression_compile(fixture->sandbox, "test.yaml", "lock-context", source,
                                   &expression, &fixture->fault));
    size_t most = 0;
    for (int i = 0; i < 200000; i++) {
        struct scope *scope;
        if (i % 10 == 0) {
            assert_true(scope_new(fixture->sandbox, &scope, &fixture->fault));
            scope_free(scope);
        }
        assert_true(expression_evaluate(expression, fixture->scope, &fixture->fault));
        lua_pop(sandbox_lua(fixture->sandbox), 1);
        if (sandbox_bytes(fixture->sandbox) > most)
            most = sandbox_bytes(fixture->sandbox);
    }
    assert_in_range(most, 1, 300 << 10);
    expression_free(expression);
}

static void a_full_state_refuses_and_recovers(void **state)
{
    (void)state;
    struct sandbox_limits limits = sandbox_default_limits();
    limits.state_bytes = 2 << 20;
    struct lua_fixture *fixture = lua_fixture_new(&limits);
    json_t *big = json_array();
    for (int i = 0; i < 200000; i++)
        json_array_append_new(big, json_integer(i));
    assert_false(scope_set_json(fixture->scope, "big", big, &fixture->fault));
    assert_int_equal(fixture->fault.kind, FAULT_EXHAUSTED);
    json_decref(big);
    assert_evaluates(fixture, "1", "1");
    json_t *value = lua_run(fixture, "local t = {} while true do t[#t + 1] = {} end");
    assert_null(value);
    assert_int_equal(fixture->fault.kind, FAULT_EXHAUSTED);
    assert_evaluates(fixture, "1", "1");
    lua_fixture_free(fixture);
}

static void two_sandboxes_are_independent(void **state)
{
    struct lua_fixture *fixture = *state;
    struct sandbox_limits limits = sandbox_default_limits();
    struct lua_fixture *other = lua_fixture_new(&limits);
    lua_set(other, "x", "1");
    assert_evaluates(fixture, "x == nil", "true");
    assert_evaluates(other, "x", "1");
    lua_fixture_free(other);
}

static void nothing_may_be_freed_that_was_never_made(void **state)
{
    (void)state;
    sandbox_free(NULL);
    scope_free(NULL);
    expression_free(NULL);
    chunk_free(NULL);
    task_free(NULL);
}

int sandbox_tests(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, lua_fixture_open, lua_fixture_close)
        cmocka_unit_test(a_sandbox_has_default_limits),
        TEST(an_expression_has_its_instructions_and_no_more),
        cmocka_unit_test(an_expression_ends_by_time),
        TEST(an_expression_has_its_memory_and_no_more),
        TEST(garbage_may_exceed_the_limit),
        TEST(a_turn_stays_short_in_a_big_state),
        TEST(memory_does_not_grow_over_many_evaluations),
        cmocka_unit_test(a_full_state_refuses_and_recovers),
        TEST(two_sandboxes_are_independent),
        cmocka_unit_test(nothing_may_be_freed_that_was_never_made),
#undef TEST
    };
    return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
