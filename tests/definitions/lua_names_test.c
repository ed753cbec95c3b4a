#include "definitions_tests.h"
#include "lua_names.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* "name", "owner.field", and behind them `!` for declared, `=` for set. */
static void expect(const char *lua, const char *expected)
{
    struct lua_names names = {.at = lua};
    struct lua_name name;
    struct text out;
    text_init(&out, 10000);
    while (lua_names_next(&names, &name)) {
        if (out.length)
            text_add_char(&out, ' ');
        if (name.field)
            text_addf(&out, "%s.", name.owner);
        text_addf(&out, "%s%s%s", name.text, name.declared ? "!" : "", name.set ? "=" : "");
    }
    assert_string_equal(text_chars(&out), expected);
    text_done(&out);
}

static void names_are_found_with_their_owners(void **state)
{
    (void)state;
    expect("{\"message\", input.id}", "input input.id");
    expect("data.message.read + 1", "data data.message .read");
    expect("a..b", "a b");
    expect("a . b : c()", "a a.b .c");
    expect("f(x).y", "f x .y");
    expect("t['k'].y", "t .y");
    expect("a\n.b", "a a.b");
}

static void strings_comments_and_numbers_hold_no_names(void **state)
{
    (void)state;
    expect("'a' .. \"b\\\"c\" .. [[d]] .. [==[e]]f]==]", "");
    expect("x -- y\nz --[[ a\nb ]] c --[==[ ]] d ]==] e", "x z c e");
    expect("0x1F + 1e3 + 3.5 + 1..2", "");
    expect("'open", "");
    expect("[[open", "");
    expect("--[[open", "");
    expect("--", "");
    expect("a[b[1]]", "a b");
}

static void keywords_are_no_names(void **state)
{
    (void)state;
    expect("if not x then return nil else return true end", "x");
}

static void declarations_are_marked(void **state)
{
    (void)state;
    expect("local a = b", "a!= b");
    expect("local a <const>, b = c, d", "a! const! b!= c d");
    expect("local a\nf(a)", "a! f a");
    expect("for k, v in pairs(t) do f(k) end", "k! v! pairs t f k");
    expect("for i = 1, n do end", "i!= n");
    expect("local function f(a, b) return a + c end", "f! a! b! a c");
    expect("g(function(a) return a, b end)", "g a! a b");
    expect("goto done\n::done::", "done! done!");
    expect("{ os = 1, [now] = 2, x == y }", "os= now x y");
}

static void lines_are_counted(void **state)
{
    (void)state;
    struct lua_names names = {.at = "a --[[\n\n]] b\n'x' c"};
    struct lua_name name;
    assert_true(lua_names_next(&names, &name));
    assert_int_equal(name.line, 0);
    assert_true(lua_names_next(&names, &name));
    assert_int_equal(name.line, 2);
    assert_true(lua_names_next(&names, &name));
    assert_int_equal(name.line, 3);
    assert_false(lua_names_next(&names, &name));
}

static void names_that_are_too_long_are_passed_over(void **state)
{
    (void)state;
    char lua[200] = "";
    struct text out;
    text_init(&out, 200);
    for (int i = 0; i < 100; i++)
        text_add_char(&out, 'x');
    text_add_chars(&out, " y");
    assert_true(out.length < sizeof lua);
    expect(text_chars(&out), "y");
    text_done(&out);
}

int lua_names_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found_with_their_owners),
        cmocka_unit_test(strings_comments_and_numbers_hold_no_names),
        cmocka_unit_test(keywords_are_no_names),
        cmocka_unit_test(declarations_are_marked),
        cmocka_unit_test(lines_are_counted),
        cmocka_unit_test(names_that_are_too_long_are_passed_over),
    };
    return cmocka_run_group_tests_name("lua_names", tests, NULL, NULL);
}
