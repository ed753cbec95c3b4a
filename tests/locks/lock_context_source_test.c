#include "lock_context_source.h"
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

/* In the expected texts "i" stands for the function. */
static void assert_becomes(const char *text, const char *expected)
{
    struct text out, shortened;
    struct fault fault;
    text_init(&out, 1 << 16);
    text_init(&shortened, 1 << 16);
    assert_true(lock_context_source_add(text, &out, &fault));
    const char *at = text_chars(&out);
    for (const char *call; (call = strstr(at, LOCK_CONTEXT_SOURCE_ITEM)); at = call) {
        text_add(&shortened, at, (size_t)(call - at));
        text_add_char(&shortened, 'i');
        call += strlen(LOCK_CONTEXT_SOURCE_ITEM);
    }
    text_add_chars(&shortened, at);
    assert_string_equal(text_chars(&shortened), expected);
    text_done(&out);
    text_done(&shortened);
}

static void each_item_is_passed_through(void **state)
{
    (void)state;
    assert_becomes("{'a', input.id}", "{i(1,('a')), i(2,input.id)}");
    assert_becomes("{'a'; input.id;}", "{i(1,('a')); i(2,input.id);}");
    assert_becomes("{ -- first\n 'a', -- second, {\n b -- end }\n}",
                   "{ -- first\n i(1,('a')), -- second, {\n i(2,b) -- end }\n}");
    assert_becomes("{{'a', 1}, {'b', -2}}",
                   "{i(1,({i(1,('a')), i(2,1)})), i(2,{i(1,('b')), i(2,-2)})}");
    assert_becomes("{f(a, b), t[c], (d)}", "{i(1,(f(a, b))), i(2,(t[c])), i(3,(d))}");
    assert_becomes("{f{x}}", "{i(1,f{i(1,x)})}");
}

static void what_is_no_item_stays(void **state)
{
    (void)state;
    assert_becomes("'a'", "'a'");
    assert_becomes("{}", "{}");
    assert_becomes("{ }", "{ }");
    assert_becomes("f(a, b)", "f(a, b)");
    assert_becomes("{id = 1, ['x'] = 2, [3] = 4}", "{id = 1, ['x'] = 2, [3] = 4}");
    assert_becomes("{id --c\n = 1, x == 2}", "{id --c\n = 1, i(1,x == 2)}");
    assert_becomes("{a, id = {b}, c}", "{i(1,(a)), id = {i(1,b)}, i(2,c)}");
    assert_becomes("local a, b = 1, 2 return a", "local a, b = 1, 2 return a");
}

static void strings_and_comments_are_not_looked_into(void **state)
{
    (void)state;
    assert_becomes("{'},{', \"\\\"}\", [[ ]} ]], [==[ ]] ]==]}",
                   "{i(1,('},{')), i(2,(\"\\\"}\")), i(3,([[ ]} ]])), i(4,[==[ ]] ]==])}");
    assert_becomes("'{a, b}'", "'{a, b}'");
    assert_becomes("--[[ {a, ]] x --[==[ {b ]] ]==]", "--[[ {a, ]] x --[==[ {b ]] ]==]");
    assert_becomes("{t[ [[k]] ], u[v[1]]}", "{i(1,(t[ [[k]] ])), i(2,u[v[1]])}");
}

static void blocks_inside_an_item_do_not_end_it(void **state)
{
    (void)state;
    assert_becomes("{(function() local a, b = 1, 2; return a end)(), x}",
                   "{i(1,((function() local a, b = 1, 2; return a end)())), i(2,x)}");
    assert_becomes("{function() if a then b() elseif c then d, e = 1, 2 end; "
                   "for k, v in f() do x, y = 1, 2 end while g do h, i = 1, 2 end "
                   "repeat local m, n = 1, 2 until m; do o, p = 1, 2 end end, z}",
                   "{i(1,(function() if a then b() elseif c then d, e = 1, 2 end; "
                   "for k, v in f() do x, y = 1, 2 end while g do h, i = 1, 2 end "
                   "repeat local m, n = 1, 2 until m; do o, p = 1, 2 end end)), i(2,z)}");
}

static void nesting_has_a_limit(void **state)
{
    (void)state;
    char deep[301];
    struct text out;
    struct fault fault;
    memset(deep, '{', 300);
    deep[300] = '\0';
    text_init(&out, 1 << 16);
    assert_false(lock_context_source_add(deep, &out, &fault));
    assert_int_equal(fault.kind, FAULT_INVALID);
    text_done(&out);
}

/* Runs `return TEXT`, as it is or changed; the value is a string, or the error. */
static void run(lua_State *L, const char *text, bool change, char *out, size_t out_bytes)
{
    struct text source;
    struct fault fault;
    text_init(&source, 1 << 16);
    text_add_chars(&source, "return ");
    if (change)
        assert_true(lock_context_source_add(text, &source, &fault));
    else
        text_add_chars(&source, text);
    if (luaL_loadbuffer(L, text_chars(&source), source.length, "=x") == LUA_OK)
        lua_pcall(L, 0, 1, 0);
    snprintf(out, out_bytes, "%s", lua_tostring(L, -1));
    lua_settop(L, 0);
    text_done(&source);
}

static void the_value_is_the_same_unless_an_item_is_nil(void **state)
{
    (void)state;
    static const char *const same[] = {
        "concat{1, 2, 3}",
        "concat{1, {2, 3}, x = 4}",
        "concat{('a'):gsub('a', 'b')}",
        "concat{('a'):gsub('a', 'b'), 7}",
        "concat{table.unpack({1, 2, 3})}",
        "concat{table.unpack({1, 2, 3}),}",
        "concat{table.unpack({1, 2, 3}), 9}",
        "concat{(table.unpack({1, 2, 3}))}",
        "concat{[1] = 'x', 'y'}",
        "concat{false, true, - 1, not nil, 1 == 1, 2^-1, 0x1p-4, 1e-3, #'abc', .5}",
        "concat{(function(...) return ... end)(1, {2}, [[3]])}",
        "concat{'a' .. 'b', 1 < 2 and 3 or 4, \"\\z\n  q\", 'it\\\ns'}",
    };
    static const struct {
        const char *text;
        const char *error;
    } nil[] = {
        {"concat{1, nil}", "x:1: item 2 of the list is nil"},
        {"concat{nil}", "x:1: item 1 of the list is nil"},
        {"concat{1,\n{2,\nmissing}}", "x:3: item 2 of the list is nil"},
        {"concat{1, tonumber('x')}", "x:1: item 2 of the list is nil"},
        {"concat{1, (function() end)()}", "x:1: item 2 of the list is nil"},
        {"concat{1, (function() return 1, nil end)()}", "x:1: item 3 of the list is nil"},
        {"concat{(function() end)(), 1}", "x:1: item 1 of the list is nil"},
    };
    lua_State *L = luaL_newstate();
    char before[256], after[256];
    luaL_openlibs(L);
    lua_register(L, LOCK_CONTEXT_SOURCE_ITEM, lock_context_source_item);
    assert_false(luaL_dostring(L, "function concat(t) local s = {} for i = 1, #t do s[i] = "
                                  "type(t[i]) == 'table' and concat(t[i]) or tostring(t[i]) end "
                                  "return '{' .. table.concat(s, ' ') .. '}' end"));
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        run(L, same[i], false, before, sizeof before);
        run(L, same[i], true, after, sizeof after);
        assert_string_equal(after, before);
        assert_int_equal(before[0], '{');
    }
    for (size_t i = 0; i < sizeof nil / sizeof nil[0]; i++) {
        run(L, nil[i].text, true, after, sizeof after);
        assert_string_equal(after, nil[i].error);
    }
    lua_close(L);
}

int lock_context_source_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_item_is_passed_through),
        cmocka_unit_test(what_is_no_item_stays),
        cmocka_unit_test(strings_and_comments_are_not_looked_into),
        cmocka_unit_test(blocks_inside_an_item_do_not_end_it),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(the_value_is_the_same_unless_an_item_is_nil),
    };
    return cmocka_run_group_tests_name("lock_context_source", tests, NULL, NULL);
}
