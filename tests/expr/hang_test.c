/* Texts that would keep a host busy for ever, or eat its memory. Each must end soon, as an
 * expression and as a task, and leave the sandbox usable: an expression by its limits, a
 * task by giving way to its host, which has a limit of its own. */
#include "expr_tests.h"
#include "lua_fixture.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    /* Generous, for the sanitizers. */
    SOON_US = 1000000,
    SLICE_US = 400000,
    CUT_US = 2000000,
};

/* Not the clock on the wall: other work on the machine would count. */
static int64_t processor_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Each instruction takes so long that a task ends by its host's limit of time. */
static const char slow[] = "ran";

struct hang {
    const char *text;
    const char *part; /* of the fault; NULL = it ends without one */
};

static const struct hang hangs[] = {
    {"while true do end", "ran over"},
    {"::again:: goto again", "ran over"},
    {"repeat until false", "ran over"},
    {"for i = 1, math.huge do end", "ran over"},
    {"local function f() return f() end return f()", "ran over"},
    {"local function f() return 1 + f() end return f()", "memory"},

    /* pcall must not save a run that is spent. */
    {"while true do pcall(function() while true do end end) end", "ran over"},
    {"local function f() pcall(f) while true do end end f()", "ran over"},
    {"local function f() pcall(f) pcall(f) end f()", "ran over"},
    {"return pcall(function() while true do end end)", "ran over"},
    {"pcall(pcall, pcall, pcall, function() while true do end end) return 1", "ran over"},
    {"return select(2, pcall(error)) or pcall(string.rep, 'x', -1) and pcall(function() "
     "repeat until nil end)",
     "ran over"},
    {"local function f() local ok = pcall(f) return f() end return f()", "ran over"},
    {"while true do pcall(error, setmetatable({}, {__tostring = function() while true do end end}))"
     " end",
     slow},
    {"local function f(n) if n == 0 then while true do pcall(error) end end return 1 + f(n - 1) "
     "end "
     "return f(20000)",
     "over"},

    /* Memory. */
    {"local s = 'x' while true do s = s .. s end", "memory"},
    {"while true do pcall(function() local s = 'x' while true do s = s .. s end end) end",
     "memory"},
    {"local t = {} while true do t[#t + 1] = #t end", "memory"},
    {"local t = {} for i = 1, 1e9 do t['k' .. i] = {} end", "memory"},
    {"while true do pcall(function() local t = {} while true do t[#t + 1] = {} end end) end",
     "memory"},
    {"local t = {} for i = 1, 300000 do t[i] = i end return select('#', table.unpack(t))", ""},
    {"local f = function() return 1 end for i = 1, 1e9 do local g = f f = function() return g() "
     "end "
     "end return f()",
     "memory"},
    {"return ('x'):rep(1 << 40)", "too large"},
    {"return ('x'):rep(1 << 62)", "too large"},
    {"return ('x'):rep(1, ('y'):rep(3)):rep(math.maxinteger, 'abc')", "too large"},
    {"while true do pcall(string.rep, 'x', 1 << 40) end", "ran over"},
    {"local t = {} for i = 1, 100 do t[i] = ('x'):rep(500000) .. i end return #t", "memory"},
    {"local s = ('x'):rep(200000) while true do local u = s .. 'y' end", "ran over"},

    /* One call of C that works for ever. */
    {"return #string.rep('', 1 << 40)", NULL},
    {"return #string.rep('', math.maxinteger, '')", NULL},
    {"table.move({}, 1, 1 << 40, 2)", "ran over"},
    {"table.move({}, 1, math.maxinteger, 2)", "wrap around"},
    {"table.move({}, math.mininteger, math.maxinteger, 2)", "too many"},
    {"return table.concat({}, '', 1, math.maxinteger)", "invalid value"},
    {"return table.concat(setmetatable({}, {__index = table.concat}), '', 1, 1 << 60)", "ran over"},
    {"return table.concat(setmetatable({}, {__index = function() return '' end}), '', 1, 1 << 60)",
     "ran over"},
    {"return table.unpack({}, 1, 1 << 40)", "too many results"},
    {"return table.unpack({}, math.mininteger, math.maxinteger)", "too many results"},
    {"return #table.pack(table.unpack({}, 1, 900000))", ""},
    {"local t = setmetatable({}, {__len = function() return 1 << 60 end}) table.insert(t, 1, 1)",
     "'__len'"},
    {"local m = {} local t = setmetatable({}, m) m.__len = function() return 1 << 60 end "
     "table.insert(t, 1, 1) return #t",
     NULL},
    {"return string.find(('a'):rep(60000), ('a*'):rep(15) .. 'b')", "ran over"},
    {"return ('a'):rep(3000):find('.-.-.-.-b')", "ran over"},
    {"return ('a'):rep(30000):find('(.-)(.-)(.-)%1%2%3b')", "ran over"},
    {"return ('a'):rep(50000):gsub('.-.-.-b', '')", "ran over"},
    {"for w in ('a'):rep(50000):gmatch('.-.-.-b') do end", "ran over"},
    {"return ('['):rep(100) .. ('a'):rep(50000):match('[' .. ('x'):rep(50000) .. ']*b')",
     "ran over"},
    {"return ('('):rep(60000):find('%b()%b()')", "ran over"},
    {"while true do pcall(string.find, ('a'):rep(3000), '.-.-.-.-b') end", "ran over"},
    {"return ('a'):rep(60000):find(('a'):rep(30000) .. 'b', 1, true)", NULL},
    {"return ('a'):rep(100):gsub('a', function() while true do end end)", "ran over"},
    {"return ('a'):rep(100):gsub('a', function() error('no') end)", "no"},
    {"while true do pcall(string.gsub, 'a', 'a', function() error('no') end) end", "ran over"},

    /* Sorting. */
    {"local t = {} for i = 1, 500 do t[i] = i end table.sort(t, function() return true end)", NULL},
    {"local t = {} for i = 1, 100 do t[i] = i end table.sort(t, function() while true do end end)",
     "ran over"},
    {"local t = {} for i = 1, 100 do t[i] = i end local n = 0 table.sort(t, function(a, b) n = n + "
     "1 "
     "return n % 2 == 0 end)",
     NULL},
    {"local a, b = ('x'):rep(100000) .. 'a', ('x'):rep(100000) .. 'b' local t = {} "
     "for i = 1, 5000 do t[i] = i % 2 == 0 and a or b end table.sort(t)",
     "ran over"},
    {"local t = {} for i = 1, 500 do t[i] = -i end table.sort(t, pcall)", NULL},
    {"local x = {} for i = 1, 25 do x = {x, x, pcall} end local t = {} for i = 1, 40 do "
     "t[i] = setmetatable({}, {__lt = function() table.sort(t, pcall) end}) end table.sort(t)",
     ""},

    /* What garbage collection or leaving a block would run. */
    {"setmetatable({}, {__gc = function() while true do end end})", "'__gc'"},
    {"local t = setmetatable({}, {__close = function() while true do end end})", "'__close'"},
    {"local m = {} local t <close> = setmetatable({}, m)", "non-closable"},
    {"setmetatable({}, {__mode = 'k'})", "'__mode'"},
    {"local m = {} setmetatable({}, m) m.__gc = function() while true do end end setmetatable({}, "
     "m)",
     "'__gc'"},

    /* Metamethods. */
    {"local m = {} local t = setmetatable({}, m) m.__call = t setmetatable(t, m) t()",
     "must be a function"},
    {"local t = {} setmetatable(t, {__index = t}) return t.x", "loop"},
    {"local t = setmetatable({}, {__index = function(t, k) return t[k] end}) return t.x", ""},
    {"return tostring(setmetatable({}, {__tostring = function() while true do end end}))",
     "ran over"},
    {"return setmetatable({}, {__eq = function() while true do end end}) == setmetatable({}, {})",
     "ran over"},
    {"for k in pairs(setmetatable({}, {__pairs = function() while true do end end})) do end",
     "ran over"},
    {"return setmetatable({}, {__concat = function(a, b) return a .. b end}) .. 'x'", ""},

    /* Formats. */
    {"return ('%99999d'):format(1)", "invalid"},
    {"return ('%.99999f'):format(1)", "invalid"},
    {"return ('%99.99f'):format(1e308)", NULL},
    {"return ('%p'):format({})", "invalid conversion"},
    {"return ('%s'):rep(1000):format()", "bad argument"},
    {"return ('%s'):format(setmetatable({}, {__tostring = function() while true do end end}))",
     "ran over"},
    {"return #string.pack('c1000000000', 'x')", "memory"},
    {"return utf8.len(('x'):rep(1000), 1, math.maxinteger)", "out of bounds"},
    {"return utf8.codepoint(('x'):rep(1000), 1, math.maxinteger)", "out of bounds"},
    {"return utf8.offset('x', math.maxinteger)", NULL},
    {"return tonumber(('9'):rep(100000)) == math.huge", NULL},
    {"local s = ('0'):rep(500000) local n = 0 while true do n = s + s + s + s + s + s end", slow},

    /* Keys that share one chain: growing such a table takes quadratic time in one instruction. */
    {"local t = {} for i = 1, 60000 do t[i * (8191 * 16383 * 32767)] = i end", "over"},
    {"local t = {} for i = 1, 60000 do t[1 + i * 2^-51] = i end", "over"},
    {"local t = {} for i = 1, 60000 do t[i] = i t[1 + i * 2^-51] = i end", "over"},
    {"while true do pcall(function() local t = {} for i = 1, 60000 do t[1 + i * 2^-51] = i end end)"
     " end",
     "over"},

    /* Lookups that walk far. */
    {"local t = {} for i = 1, 3000 do t[i] = i end for i = 1, 3000 do t[i] = nil end "
     "while true do next(t) end",
     slow},
    {"local t = {} for i = 1, 1900 do t = setmetatable({}, {__index = t}) end "
     "while true do local x = t.nothing end",
     slow},
};

/* The sanitizers make an instruction so slow that time ends a run before its count does. */
#if defined(__SANITIZE_ADDRESS__)
static const bool time_may_be_first = true;
#else
static const bool time_may_be_first = false;
#endif

static bool ran_out_of_time(const struct fault *fault)
{
    return strstr(fault->text, "ran over") && strstr(fault->text, " ms");
}

static void check(struct lua_fixture *fixture, const struct hang *hang, bool is_done, bool is_cut)
{
    const char *part = hang->part;
    if (is_cut) {
        bool may = part && (strcmp(part, slow) == 0 ||
                            (time_may_be_first && strncmp(part, slow, sizeof slow - 1) == 0));
        if (!may)
            fail_msg("%s: does not end", hang->text);
    } else if (!is_done && time_may_be_first && ran_out_of_time(&fixture->fault)) {
        assert_int_equal(fixture->fault.kind, FAULT_SCRIPT);
    } else if (!part && !is_done) {
        fail_msg("%s: %s", hang->text, fixture->fault.text);
    } else if (part && *part) {
        if (is_done)
            fail_msg("%s: did not fail", hang->text);
        if (!strstr(fixture->fault.text, part))
            fail_msg("%s: '%s' has no '%s'", hang->text, fixture->fault.text, part);
        assert_int_equal(fixture->fault.kind, FAULT_SCRIPT);
        if (strncmp(fixture->fault.text, "test.yaml:1: ", 13) != 0)
            fail_msg("%s: '%s' has no place", hang->text, fixture->fault.text);
    }
}

static void a_hanging_expression_ends(void **state)
{
    struct lua_fixture *fixture = *state;
    for (size_t i = 0; i < sizeof hangs / sizeof *hangs; i++) {
        struct hang hang = hangs[i];
        /* The smaller limits of expressions may be spent first, whichever comes. */
        if (hang.part)
            hang.part =
                strcmp(hang.part, "memory") == 0 || strncmp(hang.part, "ran", 3) == 0 ? "over" : "";
        int64_t start_us = processor_us();
        json_t *value = lua_evaluate(fixture, hang.text);
        int64_t took_us = processor_us() - start_us;
        if (took_us > SOON_US)
            fail_msg("%s: took %lld ms", hang.text, (long long)took_us / 1000);
        check(fixture, &hang, value != NULL, /* is_cut= */ false);
        json_decref(value);
        assert_evaluates(fixture, "1 + 1", "2");
    }
}

static void a_hanging_task_gives_way_and_ends(void **state)
{
    struct lua_fixture *fixture = *state;
    for (size_t i = 0; i < sizeof hangs / sizeof *hangs; i++) {
        struct chunk *chunk;
        struct task *task;
        struct lua_source source = {hangs[i].text, 1};
        assert_true(chunk_compile(fixture->sandbox, "test.yaml", "script", source, &chunk,
                                  &fixture->fault));
        assert_true(
            task_new(fixture->sandbox, chunk, fixture->scope, NULL, &task, &fixture->fault));
        enum task_state task_state = TASK_SLICED;
        int64_t begin_us = processor_us();
        bool is_cut = false;
        while (task_state == TASK_SLICED && !is_cut) {
            int64_t start_us = processor_us();
            task_state = task_resume(task, 0, &fixture->fault);
            int64_t now_us = processor_us();
            if (now_us - start_us > SLICE_US)
                fail_msg("%s: did not give way for %lld ms", hangs[i].text,
                         (long long)(now_us - start_us) / 1000);
            is_cut = now_us - begin_us > CUT_US;
        }
        task_free(task);
        chunk_free(chunk);
        check(fixture, &hangs[i], task_state == TASK_DONE, is_cut);
        assert_runs(fixture, "return 1 + 1", "2");
    }
}

/* Compiling needs quadratic time for long chains of branches, so their number is bounded. */
static void a_text_with_endless_branches_is_refused(void **state)
{
    struct lua_fixture *fixture = *state;
    static const char *const links[] = {"x or ", "x and ", "::a:: ", "goto a; "};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        enum { N = 60000 };
        size_t length = strlen(links[i]);
        char *text = test_malloc(N * length + 2);
        for (size_t n = 0; n < N; n++)
            memcpy(text + n * length, links[i], length);
        memcpy(text + N * length, "x", 2);
        int64_t start_us = processor_us();
        assert_null(lua_evaluate(fixture, text));
        assert_null(lua_run(fixture, text));
        assert_non_null(strstr(fixture->fault.text, "branches"));
        assert_int_equal(fixture->fault.kind, FAULT_INVALID);
        assert_true(processor_us() - start_us < SOON_US);
        test_free(text);
    }
}

/* The compiler keeps the constants of a text in a table: they may collide as well. */
static void a_text_with_colliding_constants_is_refused(void **state)
{
    enum { N = 40000, NUMBER_BYTES = 24 };
    struct lua_fixture *fixture = *state;
    char *text = test_malloc((size_t)N * NUMBER_BYTES + 16);
    size_t at = (size_t)sprintf(text, "return {");
    for (long long n = 1; n <= N; n++)
        at += (size_t)sprintf(text + at, "%lld,", n * 8191 * 16383 * 32767);
    strcpy(text + at, "}");
    int64_t start_us = processor_us();
    assert_null(lua_evaluate(fixture, text));
    assert_null(lua_run(fixture, text));
    assert_non_null(strstr(fixture->fault.text, "constants collide"));
    assert_int_equal(fixture->fault.kind, FAULT_INVALID);
    assert_true(processor_us() - start_us < SOON_US);
    test_free(text);
    assert_evaluates(fixture, "1 + 1", "2");
}

/* Many keys are no collision. */
static void a_large_table_may_grow(void **state)
{
    struct lua_fixture *fixture = *state;
    assert_runs(fixture, "local t = {} for i = 1, 100000 do t['k' .. i] = i end return t.k777",
                "777");
    assert_runs(fixture,
                "local t = {} for i = 1, 130000 do t[i * 1000] = i t[-i] = i end return t[777000]",
                "777");
    assert_runs(fixture, "local t = {} for i = 1, 200000 do t[i / 8] = i end return t[0.125]", "1");
}

int hang_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_hanging_expression_ends, lua_fixture_open,
                                        lua_fixture_close),
        cmocka_unit_test_setup_teardown(a_hanging_task_gives_way_and_ends, lua_fixture_open,
                                        lua_fixture_close),
        cmocka_unit_test_setup_teardown(a_text_with_endless_branches_is_refused, lua_fixture_open,
                                        lua_fixture_close),
        cmocka_unit_test_setup_teardown(a_text_with_colliding_constants_is_refused,
                                        lua_fixture_open, lua_fixture_close),
        cmocka_unit_test_setup_teardown(a_large_table_may_grow, lua_fixture_open,
                                        lua_fixture_close),
    };
    return cmocka_run_group_tests_name("hang", tests, NULL, NULL);
}
