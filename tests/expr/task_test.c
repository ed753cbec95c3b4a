#include "clock.h"
#include "expr_tests.h"
#include "lua_fixture.h"

#include <lauxlib.h>
#include <string.h>

/* A host function: yields its arguments, answers what the host resumes with. */
static int ask(lua_State *L)
{
    struct task *task = task_of(L);
    if (!task)
        return luaL_error(L, "not in a task");
    ++*(int *)task_host(task);
    return lua_yield(L, lua_gettop(L));
}

struct running {
    struct lua_fixture *fixture;
    struct chunk *chunk;
    struct task *task;
    int n_asked;
};

static struct running *start(struct lua_fixture *fixture, const char *text)
{
    struct running *running = test_calloc(1, sizeof *running);
    lua_pushcfunction(sandbox_lua(fixture->sandbox), ask);
    assert_true(scope_set_top(fixture->scope, "ask", &fixture->fault));
    running->fixture = fixture;
    assert_true(chunk_compile(fixture->sandbox, "flow.yaml", "script",
                              (struct lua_source){text, 20}, &running->chunk, &fixture->fault));
    assert_true(task_new(fixture->sandbox, running->chunk, fixture->scope, &running->n_asked,
                         &running->task, &fixture->fault));
    return running;
}

static void stop(struct running *running)
{
    task_free(running->task);
    chunk_free(running->chunk);
    test_free(running);
}

static enum task_state resume(struct running *running, int n_args)
{
    return task_resume(running->task, n_args, &running->fixture->fault);
}

static void a_task_yields_to_its_host_and_gets_the_answer(void **state)
{
    struct running *running = start(*state, "local a, b = ask('sum', 1, 2) return a + b, ask()");
    lua_State *L = task_lua(running->task);
    assert_int_equal(resume(running, 0), TASK_YIELDED);
    assert_int_equal(task_n_values(running->task), 3);
    assert_string_equal(lua_tostring(L, -3), "sum");
    assert_int_equal(lua_tointeger(L, -1), 2);
    lua_pop(L, 3);
    lua_pushinteger(L, 40);
    lua_pushinteger(L, 2);
    assert_int_equal(resume(running, 2), TASK_YIELDED);
    assert_int_equal(task_n_values(running->task), 0);
    assert_int_equal(resume(running, 0), TASK_DONE);
    assert_int_equal(task_n_values(running->task), 1);
    assert_int_equal(lua_tointeger(L, -1), 42);
    assert_int_equal(running->n_asked, 2);
    stop(running);
}

static void pcall_does_not_see_a_yield(void **state)
{
    struct running *running =
        start(*state, "local ok, x = pcall(function() return ask() end) "
                      "local bad, e = pcall(function() ask() error('late') end) "
                      "return ok, x, bad, e");
    lua_State *L = task_lua(running->task);
    assert_int_equal(resume(running, 0), TASK_YIELDED);
    lua_pushinteger(L, 7);
    assert_int_equal(resume(running, 1), TASK_YIELDED);
    assert_int_equal(resume(running, 0), TASK_DONE);
    assert_true(lua_toboolean(L, -4));
    assert_int_equal(lua_tointeger(L, -3), 7);
    assert_false(lua_toboolean(L, -2));
    assert_string_equal(lua_tostring(L, -1), "flow.yaml:20: late");
    stop(running);
}

static void an_error_fails_the_task_with_its_line(void **state)
{
    struct lua_fixture *fixture = *state;
    struct running *running = start(fixture, "local x = 1\nerror('bad')");
    assert_int_equal(resume(running, 0), TASK_FAILED);
    assert_string_equal(fixture->fault.text, "flow.yaml:21: bad");
    assert_int_equal(fixture->fault.kind, FAULT_SCRIPT);
    stop(running);
}

static void a_script_that_does_not_compile_is_invalid(void **state)
{
    struct lua_fixture *fixture = *state;
    struct chunk *chunk;
    struct lua_source source = {"x = 1\ny = = 2", 8};
    assert_false(
        chunk_compile(fixture->sandbox, "flow.yaml", "script", source, &chunk, &fixture->fault));
    assert_int_equal(fixture->fault.kind, FAULT_INVALID);
    assert_string_equal(fixture->fault.text, "flow.yaml:9: unexpected symbol near '='");
}

static void an_absent_script_does_nothing(void **state)
{
    assert_runs(*state, NULL, "null");
    assert_runs(*state, "", "null");
}

static void a_long_script_is_sliced_and_goes_on(void **state)
{
    struct lua_fixture *fixture = *state;
    struct running *running =
        start(fixture, "local ok, n = pcall(function() local n = 0 for i = 1, 2000000 do n = n + i "
                       "end return n end) return n");
    int n_slices = 0;
    enum task_state task_state;
    int64_t longest_us = 0;
    do {
        int64_t start_us = clock_monotonic_us();
        task_state = resume(running, 0);
        int64_t took_us = clock_monotonic_us() - start_us;
        if (took_us > longest_us)
            longest_us = took_us;
        n_slices += task_state == TASK_SLICED;
    } while (task_state == TASK_SLICED);
    assert_int_equal(task_state, TASK_DONE);
    assert_true(n_slices > 2);
    assert_true(longest_us < 500000);
    assert_int_equal(lua_tointeger(task_lua(running->task), -1), 2000001000000);
    stop(running);
}

static void a_stretch_without_yields_ends_by_time(void **state)
{
    (void)state;
    struct sandbox_limits limits = sandbox_default_limits();
    limits.script_instructions = INT64_MAX / 2;
    limits.unyieldable_us = 50000;
    struct lua_fixture *fixture = lua_fixture_new(&limits);
    int64_t start_us = clock_monotonic_us();
    assert_run_fails(fixture, "table.sort({1, 2}, function() while true do end end)", "50 ms");
    assert_run_fails(fixture, "('a'):gsub('a', function() while true do end end)", "50 ms");
    assert_run_fails(fixture, "('a'):rep(5000):find('.-.-.-.-b')", "50 ms");
    assert_true(clock_monotonic_us() - start_us < 3000000);
    lua_fixture_free(fixture);
}

static void instructions_count_over_all_resumes(void **state)
{
    (void)state;
    struct sandbox_limits limits = sandbox_default_limits();
    limits.script_instructions = 20000;
    struct lua_fixture *fixture = lua_fixture_new(&limits);
    struct running *running = start(fixture, "while true do for i = 1, 1000 do end ask() end");
    int n_resumes = 0;
    while (resume(running, 0) == TASK_YIELDED)
        n_resumes++;
    assert_in_range(n_resumes, 10, 20);
    assert_string_equal(fixture->fault.text, "flow.yaml:20: ran over 20000 instructions");
    stop(running);
    lua_fixture_free(fixture);
}

static void memory_counts_over_all_resumes(void **state)
{
    struct lua_fixture *fixture = *state;
    struct running *running =
        start(fixture, "local t = {} while true do t[#t + 1] = ('x'):rep(1 << 20) .. #t ask() end");
    int n_resumes = 0;
    enum task_state task_state;
    while ((task_state = resume(running, 0)) != TASK_FAILED)
        n_resumes += task_state == TASK_YIELDED;
    assert_in_range(n_resumes, 8, 16);
    assert_string_equal(fixture->fault.text, "flow.yaml:20: used over 16384 KiB of memory");
    stop(running);
}

/* The same programs, stopped at every instruction and not at all. */
static void slices_change_nothing(void **state)
{
    static const char *const programs[] = {
        "local t = {} for i = 1, 30 do t[i] = i * i % 7 end table.sort(t) return t",
        "local s = '' for w in ('a b c d'):gmatch('%a') do s = s .. w .. #s end return s",
        "local function f(n) if n < 2 then return n end return f(n - 1) + f(n - 2) end return f(9)",
        "local r = {} for k, v in pairs({a = 1}) do r[#r + 1] = k .. v end return r",
        "local m = setmetatable({}, {__index = function(t, k) return k * 2 end, __lt = function() "
        "return true end, __eq = function() return 1 end, __concat = function(a, b) return 'c' "
        "end})"
        " return {m[4], m < m, m .. 'x' .. 'y', m == setmetatable({}, getmetatable(m)), m ~= {}}",
        "local ok, e = pcall(function() local x = nil; return x.y end) return {ok, e}",
        "local a <const> = 4 local t = {a, a + 1, table.unpack({1, 2, 3})} return #t",
        "local n = 0 for i = 10, 1, -3 do n = n + i end for i = 1.0, 2.0, 0.25 do n = n + i end "
        "return n",
        "local function v(...) local a, b = ... return select('#', ...), a, b end "
        "return {v(1, 2, 3)}",
        "local x = 5 local f = function() x = x + 1 return x end f() return {f(), x, f(f())}",
        "local i = 0 ::top:: i = i + 1 if i < 10 then goto top end return i",
        "local s = 1 .. '' .. 2 .. 3.5 .. 'x' return s .. #s .. (s < 'b' and 'y' or 'n')",
        "return {7 // 2, -7 // 2, 7 % -3, 2 ^ 10, 7 & 3, 7 | 8, ~5, 1 << 3, 256 >> 4, 5 ~ 3}",
        "local t = {} t.a = {b = {c = 1}} t.a.b.c = t.a.b.c + 1 return t.a.b.c",
        "return ('x,y'):gsub('%w', function(c) return c .. c end)",
    };
    (void)state;
    struct sandbox_limits limits = sandbox_default_limits();
    struct lua_fixture *plain = lua_fixture_new(&limits);
    limits.slice_us = 0;
    limits.check_every = 1;
    struct lua_fixture *sliced = lua_fixture_new(&limits);
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        json_t *expected = lua_run(plain, programs[i]);
        json_t *value = lua_run(sliced, programs[i]);
        if (!expected || !value)
            fail_msg("%s: %s %s", programs[i], plain->fault.text, sliced->fault.text);
        if (!json_equal(expected, value))
            fail_msg("%s: sliced, it gives another value", programs[i]);
        json_decref(expected);
        json_decref(value);
    }
    lua_fixture_free(plain);
    lua_fixture_free(sliced);
}

static void a_suspended_task_can_be_freed(void **state)
{
    struct lua_fixture *fixture = *state;
    struct running *running = start(fixture, "local t = {} pcall(function() ask(t) end) ask(1)");
    assert_int_equal(resume(running, 0), TASK_YIELDED);
    stop(running);
    running = start(fixture, "while true do end");
    assert_int_equal(resume(running, 0), TASK_SLICED);
    stop(running);
    running = start(fixture, "return 1");
    stop(running);
    lua_gc(sandbox_lua(fixture->sandbox), LUA_GCCOLLECT);
    assert_runs(fixture, "return 1", "1");
}

static void tasks_run_beside_each_other(void **state)
{
    struct lua_fixture *fixture = *state;
    struct running *one = start(fixture, "x = 1 ask() x = x + 1 return x");
    struct running *two = start(fixture, "x = 10 ask() x = x + 1 return x");
    assert_int_equal(resume(one, 0), TASK_YIELDED);
    assert_int_equal(resume(two, 0), TASK_YIELDED);
    assert_evaluates(fixture, "x == nil", "true");
    assert_int_equal(resume(one, 0), TASK_DONE);
    assert_int_equal(resume(two, 0), TASK_DONE);
    assert_int_equal(lua_tointeger(task_lua(one->task), -1), 2);
    assert_int_equal(lua_tointeger(task_lua(two->task), -1), 11);
    stop(one);
    stop(two);
}

static void a_host_function_cannot_yield_out_of_a_sort(void **state)
{
    struct lua_fixture *fixture = *state;
    struct running *running = start(fixture, "table.sort({1, 2}, function() ask() end)");
    assert_int_equal(resume(running, 0), TASK_FAILED);
    assert_non_null(strstr(fixture->fault.text, "C-call boundary"));
    stop(running);
}

int task_tests(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, lua_fixture_open, lua_fixture_close)
        TEST(a_task_yields_to_its_host_and_gets_the_answer),
        TEST(pcall_does_not_see_a_yield),
        TEST(an_error_fails_the_task_with_its_line),
        TEST(a_script_that_does_not_compile_is_invalid),
        TEST(an_absent_script_does_nothing),
        TEST(a_long_script_is_sliced_and_goes_on),
        cmocka_unit_test(a_stretch_without_yields_ends_by_time),
        cmocka_unit_test(instructions_count_over_all_resumes),
        TEST(memory_counts_over_all_resumes),
        cmocka_unit_test(slices_change_nothing),
        TEST(a_suspended_task_can_be_freed),
        TEST(tasks_run_beside_each_other),
        TEST(a_host_function_cannot_yield_out_of_a_sort),
#undef TEST
    };
    return cmocka_run_group_tests_name("task", tests, NULL, NULL);
}
