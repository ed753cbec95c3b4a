#include "lock_context.h"
#include "locks_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>

static int set_up(void **state)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    lua_newtable(L);
    lock_context_push_system(L);
    lua_setfield(L, -2, "system");
    lua_setglobal(L, "lock");
    lua_pushlightuserdata(L, NULL);
    lua_setglobal(L, "null");
    *state = L;
    return 0;
}

static int tear_down(void **state)
{
    lua_close(*state);
    return 0;
}

static void push_value(lua_State *L, const char *expression)
{
    char chunk[512];
    snprintf(chunk, sizeof chunk, "return %s", expression);
    if (luaL_loadstring(L, chunk) != LUA_OK || lua_pcall(L, 0, 1, 0) != LUA_OK)
        fail_msg("%s", lua_tostring(L, -1));
}

/* paths: the texts joined by a space, in order. */
static void assert_reads(lua_State *L, const char *expression, const char *paths)
{
    struct lock_set *set = NULL;
    struct fault fault;
    char list[4096] = "";
    size_t used = 0;
    push_value(L, expression);
    int top = lua_gettop(L);
    if (!lock_context_read(L, -1, "latchkey", &set, &fault))
        fail_msg("%s: %s", expression, fault.text);
    assert_int_equal(lua_gettop(L), top);
    for (int i = 0; i < lock_set_n_paths(set); i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? " " : "",
                                 lock_set_path(set, i));
    assert_string_equal(list, paths);
    lock_set_free(set);
    lua_pop(L, 1);
}

static void assert_refuses(lua_State *L, const char *expression, const char *why)
{
    struct lock_set *set = NULL;
    struct fault fault;
    push_value(L, expression);
    int top = lua_gettop(L);
    if (lock_context_read(L, top, "latchkey", &set, &fault))
        fail_msg("%s was accepted as %s", expression, lock_set_path(set, 0));
    assert_int_equal(lua_gettop(L), top);
    assert_int_equal(fault.kind, FAULT_INVALID);
    assert_string_equal(fault.text, why);
    assert_null(set);
    lua_pop(L, 1);
}

static void a_scalar_is_a_path_of_one_segment(void **state)
{
    assert_reads(*state, "'message'", "message");
    assert_reads(*state, "42", "42");
    assert_reads(*state, "true", "true");
    assert_reads(*state, "false", "false");
    assert_reads(*state, "'$key'", "%24key");
    assert_reads(*state, "'*'", "%2A");
    assert_reads(*state, "'a\\0b'", "a%00b");
}

static void equal_numbers_are_the_same_lock(void **state)
{
    assert_reads(*state, "42.0", "42");
    assert_reads(*state, "'42'", "42");
    assert_reads(*state, "-0.0", "0");
    assert_reads(*state, "0", "0");
    assert_reads(*state, "-7.0", "-7");
    assert_reads(*state, "1e15", "1000000000000000");
    assert_reads(*state, "math.mininteger", "-9223372036854775808");
    assert_reads(*state, "math.maxinteger", "9223372036854775807");
    assert_reads(*state, "-2^63", "-9223372036854775808");
}

static void a_list_is_a_path(void **state)
{
    assert_reads(*state, "{'message', 42}", "message/42");
    assert_reads(*state, "{'message'}", "message");
    assert_reads(*state, "{1, 2.0, true, 'a/b', '$', 6, 7, 8}", "1/2/true/a%2Fb/$/6/7/8");
    assert_reads(*state, "(function() local t = {} t[2] = 'b' t[1] = 'a' return t end)()", "a/b");
    assert_reads(*state,
                 "(function() local t = {} for i = 1, 3 do t[#t + 1] = i end return t end)()",
                 "1/2/3");
}

static void a_list_of_lists_is_several_paths(void **state)
{
    assert_reads(*state, "{{'b', 1}, {'a'}, {'b', 1}}", "a b/1");
    assert_reads(*state, "{{'b', 1}, {'b'}}", "b");
    assert_reads(*state,
                 "(function() local t = {} for i = 1, 32 do t[i] = {'m'} end return t end)()", "m");
}

static void the_whole_system_is_named_explicitly(void **state)
{
    assert_reads(*state, "lock.system", "*");
    assert_refuses(*state, "{lock.system}",
                   "segment 1 is lock.system, which must be the whole value");
    assert_refuses(*state, "{{'a'}, lock.system}",
                   "one of several paths is lock.system, which must be the whole value");
    assert_refuses(*state, "null", "the value is null");
}

static void a_value_that_is_no_key_is_refused(void **state)
{
    assert_refuses(*state, "nil", "the value is nil");
    assert_refuses(*state, "''", "the value is an empty string");
    assert_refuses(*state, "print", "the value is a function");
    assert_refuses(*state, "io.stdout", "the value is a userdata");
    assert_refuses(*state, "coroutine.create(print)", "the value is a thread");
    assert_refuses(*state, "1.5", "the value is 1.5, not a whole number");
    assert_refuses(*state, "0/0", "the value is not a number (NaN)");
    assert_refuses(*state, "1/0", "the value is infinite");
    assert_refuses(*state, "-1/0", "the value is infinite");
    assert_refuses(*state, "2^63", "the value is 9.2233720368548e+18, beyond 64-bit integers");
    assert_refuses(*state, "'\\xff'", "segment 1 is not valid UTF-8");
}

static void a_segment_that_is_no_key_is_refused_with_its_place(void **state)
{
    assert_refuses(*state, "{'a', ''}", "segment 2 is an empty string");
    assert_refuses(*state, "{'a', 1.5}", "segment 2 is 1.5, not a whole number");
    assert_refuses(*state, "{'a', print}", "segment 2 is a function");
    assert_refuses(*state, "{'a', null}", "segment 2 is null");
    assert_refuses(*state, "{'a', '\\xc0\\xaf'}", "segment 2 is not valid UTF-8");
    assert_refuses(*state, "{'a', '\\xed\\xa0\\x80'}", "segment 2 is not valid UTF-8");
    assert_refuses(*state, "{'a', ('x'):rep(256)}", "segment 2 is longer than 255 bytes");
    assert_refuses(*state, "{{'a'}, {'b'}, {1.5}}", "path 3, segment 1 is 1.5, not a whole number");
    assert_refuses(*state, "{{'a'}, {'b', {'c'}}}", "path 2, segment 2 is a table");
    assert_refuses(*state, "{{'a'}, {'b', '\\xff'}}", "path 2, segment 2 is not valid UTF-8");
}

static void holes_are_refused(void **state)
{
    assert_refuses(*state, "{'a', nil, 'c'}", "segment 2 is nil");
    assert_refuses(*state, "{nil, 'b'}", "segment 1 is nil");
    assert_refuses(*state, "{[2] = 'b'}", "segment 1 is nil");
    assert_refuses(*state, "{[1] = 'a', [math.maxinteger] = 'b'}", "segment 2 is nil");
    assert_refuses(*state, "{{'a'}, nil, {'b'}}", "path 2 is nil");
    assert_refuses(*state, "{{'a'}, {'b', nil, 'c'}}", "path 2, segment 2 is nil");
}

static void tables_that_are_no_lists_are_refused(void **state)
{
    assert_refuses(*state, "{}", "the value is an empty table");
    assert_refuses(*state, "{{}}", "path 1 is an empty table");
    assert_refuses(*state, "{{'a'}, {}}", "path 2 is an empty table");
    assert_refuses(*state, "{id = 1}", "the value has the key \"id\", so it is not a list");
    assert_refuses(*state, "{'a', id = 1}", "the value has the key \"id\", so it is not a list");
    assert_refuses(*state, "{'a', [0] = 1}", "the value has the key 0, so it is not a list");
    assert_refuses(*state, "{'a', [1.5] = 1}", "the value has the key 1.5, so it is not a list");
    assert_refuses(*state, "{'a', [true] = 1}",
                   "the value has a key that is a boolean, so it is not a list");
    assert_refuses(*state, "{{'a'}, {'b', x = 1}}",
                   "path 2 has the key \"x\", so it is not a list");
    assert_refuses(*state, "{'a', {'b'}}",
                   "item 1 is a string among paths: a path is a list, {\"message\", 42}");
    assert_refuses(*state, "{{'a'}, 'b'}",
                   "item 2 is a string among paths: a path is a list, {\"message\", 42}");
}

static void limits_are_kept(void **state)
{
    assert_refuses(*state, "{1, 2, 3, 4, 5, 6, 7, 8, 9}", "the value has more than 8 segments");
    assert_refuses(*state, "{{1}, {1, 2, 3, 4, 5, 6, 7, 8, 9}}", "path 2 has more than 8 segments");
    assert_refuses(*state,
                   "(function() local t = {} for i = 1, 33 do t[i] = {'m'} end return t end)()",
                   "the value has more than 32 paths");
    assert_refuses(*state,
                   "(function() local t = {} for i = 1, 1000000 do t[i] = i end return t end)()",
                   "the value has more than 8 segments");
}

static void no_metamethod_is_run(void **state)
{
    assert_refuses(*state,
                   "setmetatable({}, {__index = function() error('ran') end, "
                   "__len = function() error('ran') end, __pairs = function() error('ran') end, "
                   "__tostring = function() error('ran') end})",
                   "the value is an empty table");
    assert_refuses(*state, "setmetatable({'a', nil, 'c'}, {__index = function() error('ran') end})",
                   "segment 2 is nil");
    assert_reads(*state, "setmetatable({'a'}, {__len = function() return 2 end, __index = {1, 2}})",
                 "a");
}

/* Compiles and evaluates in a real scope with input = {"id": 42}; the paths or the reason. */
static void evaluate(const char *text, char *out, size_t out_bytes)
{
    struct sandbox_limits limits = sandbox_default_limits();
    struct sandbox *sandbox = NULL;
    struct scope *scope = NULL;
    struct expression *expression = NULL;
    struct lock_set *set = NULL;
    struct fault fault;
    json_t *input = json_pack("{s:i}", "id", 42);
    assert_true(sandbox_new(&limits, &sandbox, &fault));
    assert_true(scope_new(sandbox, &scope, &fault));
    assert_true(scope_set_json(scope, "input", input, &fault));
    lock_context_offer(scope);
    lua_State *L = sandbox_lua(sandbox);
    struct lua_source source = {text, 7};
    if (!lock_context_compile(sandbox, "m.yaml", source, &expression, &fault) ||
        !expression_evaluate(expression, scope, &fault)) {
        snprintf(out, out_bytes, "%.200s", fault.text);
    } else {
        if (lock_context_read(L, -1, "latchkey", &set, &fault))
            snprintf(out, out_bytes, "%s", lock_set_path(set, 0));
        else
            snprintf(out, out_bytes, "%.200s", fault.text);
        lua_pop(L, 1);
    }
    assert_int_equal(lua_gettop(L), 0);
    lock_set_free(set);
    expression_free(expression);
    scope_free(scope);
    sandbox_free(sandbox);
    json_decref(input);
}

static void assert_evaluates(const char *text, const char *expected)
{
    char out[256];
    evaluate(text, out, sizeof out);
    assert_string_equal(out, expected);
}

static void a_lock_context_is_evaluated_in_a_scope(void **state)
{
    (void)state;
    assert_evaluates("{'message', input.id}", "message/42");
    assert_evaluates("lock.system", "*");
    assert_evaluates("local id = input.id + 1\nreturn {'message', id}", "message/43");
    assert_evaluates("{{'message', input.id}, lock.system}",
                     "one of several paths is lock.system, which must be the whole value");
    assert_evaluates("lock.sytem", "the value is nil");
}

/* Lua's own table forgets it: {"message", nil} is {"message"}, the lock of all messages. */
static void a_missing_last_segment_does_not_widen_the_lock(void **state)
{
    (void)state;
    assert_evaluates("{'message', input.message_id}", "m.yaml:7: item 2 of the list is nil");
    assert_evaluates("{'message',\ninput.message_id}", "m.yaml:8: item 2 of the list is nil");
    assert_evaluates("{{'message', input.id}, {'user', input.user_id}}",
                     "m.yaml:7: item 2 of the list is nil");
}

static void a_text_that_does_not_compile_is_told_as_it_was_written(void **state)
{
    (void)state;
    char out[256];
    evaluate("{'message', input.id", out, sizeof out);
    assert_non_null(strstr(out, "m.yaml:7"));
    assert_null(strstr(out, "_lock_item"));
}

static void an_expression_cannot_change_what_lock_says(void **state)
{
    (void)state;
    assert_evaluates("lock.system = 'x' return lock.system", "m.yaml:7: lock is read-only");
}

int lock_context_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_scalar_is_a_path_of_one_segment),
        TEST(equal_numbers_are_the_same_lock),
        TEST(a_list_is_a_path),
        TEST(a_list_of_lists_is_several_paths),
        TEST(the_whole_system_is_named_explicitly),
        TEST(a_value_that_is_no_key_is_refused),
        TEST(a_segment_that_is_no_key_is_refused_with_its_place),
        TEST(holes_are_refused),
        TEST(tables_that_are_no_lists_are_refused),
        TEST(limits_are_kept),
        TEST(no_metamethod_is_run),
        cmocka_unit_test(a_lock_context_is_evaluated_in_a_scope),
        cmocka_unit_test(a_missing_last_segment_does_not_widen_the_lock),
        cmocka_unit_test(a_text_that_does_not_compile_is_told_as_it_was_written),
        cmocka_unit_test(an_expression_cannot_change_what_lock_says),
    };
#undef TEST
    return cmocka_run_group_tests_name("lock_context", tests, NULL, NULL);
}
