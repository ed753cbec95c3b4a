/*
 * Our pattern functions beside the stock ones, on a corpus made from a fixed seed. The number of
 * cases is LATCHKEY_PATTERN_CASES (default 100,000).
 */
#include "expr_tests.h"
#include "libraries.h"
#include "lua_fixture.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OURS = 1, /* stack indices of the two libraries */
    STOCK = 2,
    TEXT_BYTES = 64,
};

struct generator {
    uint64_t seed;
};

struct text_case {
    char bytes[TEXT_BYTES];
    size_t length;
};

static unsigned draw(struct generator *generator, unsigned below)
{
    generator->seed = generator->seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(generator->seed >> 33) % below;
}

static void add(struct text_case *text, const char *piece, size_t length)
{
    if (text->length + length >= TEXT_BYTES)
        return;
    memcpy(text->bytes + text->length, piece, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

static void make(struct generator *generator, struct text_case *text, const char *const pieces[],
                 unsigned n_pieces, unsigned most)
{
    unsigned n = draw(generator, most + 1);
    text->length = 0;
    text->bytes[0] = '\0';
    for (unsigned i = 0; i < n; i++) {
        const char *piece = pieces[draw(generator, n_pieces)];
        if (strcmp(piece, "NUL") == 0)
            add(text, "", 1);
        else
            add(text, piece, strlen(piece));
    }
}

#define COUNT(array) (unsigned)(sizeof(array) / sizeof *(array))

static void make_subject(struct generator *generator, struct text_case *text)
{
    static const char *const pieces[] = {"a",   "b",   "c", "ab", "A", "1", "9",  " ",   ".",
                                         "(",   ")",   "[", "]",  "%", "-", "\n", "NUL", "\xe4",
                                         "aaa", "bab", "z", "Z",  "_", "^", "$"};
    make(generator, text, pieces, COUNT(pieces), 12);
}

static void make_pattern(struct generator *generator, struct text_case *text)
{
    static const char *const pieces[] = {
        "a",     "b",     "c",      "ab",    ".",      "%a",    "%d",   "%w",   "%s",     "%p",
        "%A",    "%D",    "%W",     "%S",    "%u",     "%l",    "%x",   "%c",   "%g",     "%z",
        "[abc]", "[^ab]", "[a-c]",  "[%d_]", "[]]",    "[^]]",  "[a-]", "[%]]", "[%a-z]", "[a",
        "*",     "+",     "-",      "?",     "(",      ")",     "()",   "^",    "$",      "%",
        "%b()",  "%bab",  "%b",     "%f[a]", "%f[%W]", "%f",    "%1",   "%2",   "%0",     "%%",
        "%.",    "NUL",   "[^%s]*", "(a*)",  "(.-)",   "(%w+)", ".-",   ".*",   "a-b",    "\xe4"};
    if (draw(generator, 4) == 0) {
        text->length = 0;
        add(text, "^", 1);
        struct text_case rest;
        make(generator, &rest, pieces, COUNT(pieces), 5);
        add(text, rest.bytes, rest.length);
        return;
    }
    make(generator, text, pieces, COUNT(pieces), 6);
}

static void make_replacement(struct generator *generator, struct text_case *text)
{
    static const char *const pieces[] = {"x", "%0", "%1", "%2", "%%", "%", "-", "NUL", "yy"};
    make(generator, text, pieces, COUNT(pieces), 4);
}

struct one_case {
    unsigned kind;
    struct text_case subject, pattern, replacement;
    int init;
    bool has_init;
};

enum {
    KIND_FIND,
    KIND_MATCH,
    KIND_PLAIN,
    KIND_GMATCH,
    KIND_GSUB_STRING,
    KIND_GSUB_FUNCTION,
    KIND_GSUB_TABLE,
    N_KINDS,
};

static int replace_function(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING && lua_rawlen(L, 1) % 2 == 1) {
        lua_pushboolean(L, 0);
        return 1;
    }
    lua_pushfstring(L, "<%d>", lua_gettop(L));
    return 1;
}

static void push_text(lua_State *L, const struct text_case *text)
{
    lua_pushlstring(L, text->bytes, text->length);
}

/* Puts the answers of one library into a table: {ok, values...}. */
static void answer(lua_State *L, int library, const struct one_case *test)
{
    static const char *const names[N_KINDS] = {"find", "match", "find", "gmatch",
                                               "gsub", "gsub",  "gsub"};
    int base = lua_gettop(L);
    lua_newtable(L);
    lua_getfield(L, library, names[test->kind]);
    push_text(L, &test->subject);
    push_text(L, &test->pattern);
    if (test->kind == KIND_GSUB_STRING) {
        push_text(L, &test->replacement);
    } else if (test->kind == KIND_GSUB_FUNCTION) {
        lua_pushcfunction(L, replace_function);
    } else if (test->kind == KIND_GSUB_TABLE) {
        lua_newtable(L);
        lua_pushliteral(L, "[A]");
        lua_setfield(L, -2, "a");
        lua_pushinteger(L, 5);
        lua_setfield(L, -2, "ab");
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, "c");
    }
    if (test->has_init)
        lua_pushinteger(L, test->init);
    else if (test->kind == KIND_PLAIN)
        lua_pushnil(L);
    if (test->kind == KIND_PLAIN)
        lua_pushboolean(L, 1);
    bool ok = lua_pcall(L, lua_gettop(L) - base - 2, LUA_MULTRET, 0) == LUA_OK;
    int n = 0;
    if (ok && test->kind == KIND_GMATCH) {
        for (; n < 500; n++) {
            lua_settop(L, base + 2);
            lua_pushvalue(L, -1);
            ok = lua_pcall(L, 0, LUA_MULTRET, 0) == LUA_OK;
            if (!ok || lua_gettop(L) == base + 2 || lua_isnil(L, base + 3))
                break;
            for (int i = lua_gettop(L); i > base + 2; i--)
                lua_rawseti(L, base + 1, n * 40 + i - base + 10);
        }
    } else if (ok) {
        n = lua_gettop(L) - base - 1;
        for (int i = n; i >= 1; i--)
            lua_rawseti(L, base + 1, i + 2);
    }
    lua_settop(L, base + 1);
    lua_pushboolean(L, ok);
    lua_rawseti(L, base + 1, 1);
    lua_pushinteger(L, n);
    lua_rawseti(L, base + 1, 2);
}

static bool same(lua_State *L, int a, int b)
{
    lua_pushnil(L);
    while (lua_next(L, a)) {
        lua_pushvalue(L, -2);
        lua_rawget(L, b);
        bool equal = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
        if (!equal) {
            lua_pop(L, 1);
            return false;
        }
    }
    return true;
}

static void print_text(const char *what, const struct text_case *text)
{
    print_error("%s: \"", what);
    for (size_t i = 0; i < text->length; i++)
        print_error(text->bytes[i] < ' ' ? "\\x%02x" : "%c", (unsigned char)text->bytes[i]);
    print_error("\"\n");
}

static void they_answer_like_the_stock_functions(void **state)
{
    struct lua_fixture *fixture = *state;
    lua_State *L = sandbox_lua(fixture->sandbox);
    struct generator generator = {.seed = 20240501};
    const char *cases = getenv("LATCHKEY_PATTERN_CASES");
    long n_cases = cases ? atol(cases) : 100000;
    long n_found = 0;
    lua_newtable(L);
    pattern_library_add(L);
    lua_pushcfunction(L, luaopen_string);
    lua_call(L, 0, 1);
    for (long i = 0; i < n_cases; i++) {
        struct one_case test = {.kind = draw(&generator, N_KINDS)};
        make_subject(&generator, &test.subject);
        make_pattern(&generator, &test.pattern);
        make_replacement(&generator, &test.replacement);
        test.has_init = draw(&generator, 3) == 0;
        test.init = (int)draw(&generator, 20) - 8;
        answer(L, OURS, &test);
        answer(L, STOCK, &test);
        if (!same(L, 3, 4) || !same(L, 4, 3)) {
            print_text("subject", &test.subject);
            print_text("pattern", &test.pattern);
            print_text("replacement", &test.replacement);
            fail_msg("case %ld, kind %u, init %d %d", i, test.kind, test.has_init, test.init);
        }
        lua_rawgeti(L, 3, 2);
        n_found += lua_tointeger(L, -1) > 1;
        lua_settop(L, 2);
    }
    lua_settop(L, 0);
    /* A corpus in which nothing ever matches would prove nothing. */
    assert_true(n_found > n_cases / 10);
}

static void they_answer_like_the_stock_ones_on_chosen_texts(void **state)
{
    struct lua_fixture *fixture = *state;
    assert_evaluates(fixture, "{('hello world'):find('o w')}", "[5, 7]");
    assert_evaluates(fixture, "{('hello'):find('l', -2)}", "[4, 4]");
    assert_evaluates(fixture, "{('hello'):find('', 10)}", "{}");
    assert_evaluates(fixture, "{('hello'):find('', 6)}", "[6, 5]");
    assert_evaluates(fixture, "{('  x '):match('^%s*(.-)%s*$')}", "[\"x\"]");
    assert_evaluates(fixture, "{('f(a(b)c)d'):match('%b()')}", "[\"(a(b)c)\"]");
    assert_evaluates(fixture, "{('THE (quick) fox'):find('%f[%a]%a+%f[%A]', 5)}", "[6, 10]");
    assert_evaluates(fixture, "{('say \"hi\"'):match('([\"\\'])(.-)%1')}", "[\"\\\"\", \"hi\"]");
    assert_evaluates(fixture, "{('abc'):gsub('', '-')}", "[\"-a-b-c-\", 4]");
    assert_evaluates(fixture, "{('abc'):gsub('%w', '%0%0', 2)}", "[\"aabbc\", 2]");
    assert_evaluates(fixture, "{('abc def'):gsub('()%w+', '%1')}", "[\"1 5\", 2]");
    assert_evaluates(fixture,
                     "(function() local t = {} for k, v in ('a=1, b=2'):gmatch("
                     "'(%w+)=(%w+)') do t[k] = v end return t end)()",
                     "{\"a\": \"1\", \"b\": \"2\"}");
}

static void a_malformed_pattern_is_an_error(void **state)
{
    struct lua_fixture *fixture = *state;
    assert_evaluation_fails(fixture, "('a'):find('%')", "ends with '%'");
    assert_evaluation_fails(fixture, "('a'):find('[a')", "missing ']'");
    assert_evaluation_fails(fixture, "('a'):find('(a')", "unfinished capture");
    assert_evaluation_fails(fixture, "('a'):find('.)')", "invalid pattern capture");
    assert_evaluation_fails(fixture, "('a'):find('%1')", "invalid capture index");
    assert_evaluation_fails(fixture, "('a'):find('%f')", "missing '['");
    assert_evaluation_fails(fixture, "('a'):find('%b')", "missing arguments");
    assert_evaluation_fails(fixture, "('a'):find(('()'):rep(33))", "too many captures");
    assert_evaluation_fails(fixture, "('a'):rep(500):find(('a?'):rep(300))", "too complex");
    assert_evaluation_fails(fixture, "('a'):gsub('a', '%2')", "invalid capture index");
    assert_evaluation_fails(fixture, "('a'):gsub('a', '%x')", "invalid use of '%'");
    assert_evaluation_fails(fixture, "('a'):gsub('a', function() return {} end)", "a table");
    assert_evaluation_fails(fixture, "('a'):gsub('a', nil)", "string/function/table expected");
}

int pattern_tests(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, lua_fixture_open, lua_fixture_close)
        TEST(they_answer_like_the_stock_functions),
        TEST(they_answer_like_the_stock_ones_on_chosen_texts),
        TEST(a_malformed_pattern_is_an_error),
#undef TEST
    };
    return cmocka_run_group_tests_name("pattern", tests, NULL, NULL);
}
