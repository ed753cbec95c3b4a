/*
 * Our pattern functions beside the stock ones, on a corpus made from a fixed seed. The number of
 * cases is LATCHKEY_PATTERN_CASES (default 100,000).
 */
#include "expr_tests.h"
#include "lua_fixture.h"
#include "pattern_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct generator {
    uint64_t seed;
};

static unsigned draw(struct generator *generator, unsigned below)
{
    generator->seed = generator->seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(generator->seed >> 33) % below;
}

static void make(struct generator *generator, struct pattern_text *text, const char *const pieces[],
                 unsigned n_pieces, unsigned most)
{
    unsigned n = draw(generator, most + 1);
    text->length = 0;
    text->bytes[0] = '\0';
    for (unsigned i = 0; i < n; i++) {
        const char *piece = pieces[draw(generator, n_pieces)];
        if (strcmp(piece, "NUL") == 0)
            pattern_text_add(text, "", 1);
        else
            pattern_text_add(text, piece, strlen(piece));
    }
}

#define COUNT(array) (unsigned)(sizeof(array) / sizeof *(array))

static void make_subject(struct generator *generator, struct pattern_text *text)
{
    static const char *const pieces[] = {"a",   "b",   "c", "ab", "A", "1", "9",  " ",   ".",
                                         "(",   ")",   "[", "]",  "%", "-", "\n", "NUL", "\xe4",
                                         "aaa", "bab", "z", "Z",  "_", "^", "$"};
    make(generator, text, pieces, COUNT(pieces), 12);
}

static void make_pattern(struct generator *generator, struct pattern_text *text)
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
        pattern_text_add(text, "^", 1);
        struct pattern_text rest;
        make(generator, &rest, pieces, COUNT(pieces), 5);
        pattern_text_add(text, rest.bytes, rest.length);
        return;
    }
    make(generator, text, pieces, COUNT(pieces), 6);
}

static void make_replacement(struct generator *generator, struct pattern_text *text)
{
    static const char *const pieces[] = {"x", "%0", "%1", "%2", "%%", "%", "-", "NUL", "yy"};
    make(generator, text, pieces, COUNT(pieces), 4);
}

static void print_text(const char *what, const struct pattern_text *text)
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
    pattern_pair_open(L);
    for (long i = 0; i < n_cases; i++) {
        struct pattern_case test = {.kind = draw(&generator, PATTERN_N_KINDS)};
        make_subject(&generator, &test.subject);
        make_pattern(&generator, &test.pattern);
        make_replacement(&generator, &test.replacement);
        test.has_init = draw(&generator, 3) == 0;
        test.init = (int)draw(&generator, 20) - 8;
        pattern_pair_answer(L, PATTERN_OURS, &test);
        pattern_pair_answer(L, PATTERN_STOCK, &test);
        if (!pattern_pair_same(L, 3, 4)) {
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
