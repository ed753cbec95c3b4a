/* Ways out of the sandbox that must not be there: into another script, into the host, past the
 * limits. Each text answers true when it is held. */
#include "expr_tests.h"
#include "lua_fixture.h"

#include <stdio.h>
#include <string.h>

/* For scripts and expressions alike. */
static const char *const held[] = {
    /* What is not there. */
    "io == nil and os == nil and debug == nil and package == nil and coroutine == nil",
    "load == nil and loadstring == nil and loadfile == nil and dofile == nil and require == nil",
    "xpcall == nil and collectgarbage == nil and print == nil and warn == nil",
    "string.dump == nil and string.gfind == nil and math.randomseed == nil",
    "rawequal ~= nil and rawset(_G or {}, 'x', 1) ~= nil",
    "_G == nil",

    /* Metatables of what is shared. */
    "getmetatable('') == false",
    "not pcall(setmetatable, '', {})",
    "getmetatable(string) == false and getmetatable(math) == false and getmetatable(table) == "
    "false",
    "not pcall(setmetatable, string, {})",
    "not pcall(setmetatable, math, nil)",
    "not pcall(function() string.rep = nil end)",
    "not pcall(function() math.pi = 3 end)",
    "not pcall(function() utf8.len = nil end)",
    "not pcall(rawset, string, 'rep', 1)",
    "not pcall(rawset, table, 'insert', 1)",
    "next(string) == nil and rawget(string, 'rep') == nil and rawlen(string) == 0",
    "not pcall(table.insert, string, 1)",
    "not pcall(table.remove, table, 'x')",
    "not pcall(table.move, {1}, 1, 1, 1, string)",
    "not pcall(table.sort, string, 1)",
    "(function() for k in pairs(string) do return false end return true end)()",
    "('').rep == string.rep",
    "not pcall(function() ('').x.y = 1 end)",
    "not pcall(function() local s = '' s.x = 1 end)",
    "getmetatable(1) == nil and getmetatable(nil) == nil and getmetatable(true) == nil",
    "getmetatable(pcall) == nil",

    /* One's own metatables: what was refused cannot come in later. */
    "not pcall(setmetatable, {}, {__gc = function() end})",
    "not pcall(setmetatable, {}, {__close = function() end})",
    "not pcall(setmetatable, {}, {__mode = 'v'})",
    "not pcall(setmetatable, {}, {__len = function() return 1 end})",
    "not pcall(setmetatable, {}, {__metatable = 1})",
    "(function() local m = {} local t = setmetatable({}, m) m.__len = function() return 9 end "
    "return #t == 0 end)()",
    "(function() local m = {} local t = setmetatable({}, m) m.__gc = function() end "
    "return not pcall(setmetatable, t, m) end)()",
    "(function() local m = setmetatable({}, {__index = {__gc = function() end}}) "
    "return pcall(setmetatable, {}, m) end)()", /* read raw: nothing is inherited */
    "(function() local t = setmetatable({}, {}) rawset(getmetatable(t), '__mode', 'k') "
    "return not pcall(setmetatable, {}, getmetatable(t)) end)()",
    "getmetatable(setmetatable({}, {a = 1})).a == 1",
    "(function() local names = {} for name in pairs(getmetatable(setmetatable({}, {__add = 1}))) "
    "do names[#names + 1] = name end return #names == 1 and names[1] == '__add' end)()",

    /* To-be-closed variables and goto. */
    "not pcall(function() local t <close> = setmetatable({}, {}) end)",
    "pcall(function() local t <close> = nil end)",
    "(function() for i = 1, 2 do goto out end ::out:: return true end)()",

    /* Errors. */
    "(function() local ok, e = pcall(error, setmetatable({}, {__tostring = error})) "
    "return not ok and type(e) == 'table' end)()",
    "(function() local ok, e = pcall(error) return not ok and e == nil end)()",
    "not pcall(error, 'x', 1 << 60)",
    "not pcall(tostring, setmetatable({}, {__tostring = function() return {} end}))",

    /* Addresses. */
    "tostring({}) == 'table' and tostring(pcall) == 'function'",
    "('%s'):format(pcall) == 'function' and not pcall(string.format, '%p', {})",
    "not (tostring({}) .. tostring(pcall)):find('0x')",

    /* Numbers that C would take otherwise. */
    "not pcall(string.char, 256) and not pcall(string.char, -1)",
    "not pcall(string.rep, 'x', 1e300)",
    "not pcall(utf8.char, -1) and not pcall(utf8.char, 1 << 40)",
    "not pcall(select, 0) and not pcall(select, math.mininteger)",
    "not pcall(string.format, '%d', 1.5) and not pcall(string.format, '%y', 1)",
    "not pcall(string.unpack, 'i16', ('x'):rep(16)) and not pcall(string.unpack, 's8', "
    "('\\xff'):rep(8))",
    "not pcall(string.pack, 'i17', 1) and not pcall(string.unpack, 'z', 'x', 9)",
    "math.tointeger(1 << 63) == math.mininteger and math.mininteger // -1 == math.mininteger",
    "math.mininteger % -1 == 0 and not pcall(function() return 1 // 0 end)",
};

static void nothing_leads_out(void **state)
{
    struct lua_fixture *fixture = *state;
    for (size_t i = 0; i < sizeof held / sizeof *held; i++) {
        char script[1024];
        snprintf(script, sizeof script, "return (%s) == true", held[i]);
        assert_runs(fixture, script, "true");
        snprintf(script, sizeof script, "(%s) == true", held[i]);
        assert_evaluates(fixture, script, "true");
    }
}

/* What one script does to its globals, and to what it reaches from them, another does not see. */
static void nothing_passes_from_one_script_to_the_next(void **state)
{
    struct lua_fixture *fixture = *state;
    static const char *const marks[] = {
        "mark = 1",
        "_ENV.mark = 1",
        "string = {mark = 1} mark = string",
        "math = setmetatable({mark = 1}, {}) mark = 1",
        "local _ENV = {mark = 1} other = 1",
        "pcall = function() return 'mark' end",
        "rawset(_ENV, 'mark', 1)",
        "local function f(_ENV) mark = 1 end f(_ENV)",
        "getmetatable = function() return 'mark' end tostring = getmetatable",
        "pcall(rawset, string, 'mark', 1) pcall(function() string.mark = 1 end)",
        "local m = getmetatable(_ENV) if type(m) == 'table' then m.__index = {mark = 1} end",
        "pcall(setmetatable, _ENV, {__index = {mark = 1}})",
        "pcall(function() getmetatable('').__index = {mark = 1} end)",
        "pcall(function() json.mark = 1 end) pcall(rawset, json, 'mark', 1)",
        "pcall(function() getmetatable(json.decode('[]')).mark = 1 end)",
    };
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        json_t *value = lua_run(fixture, marks[i]);
        json_decref(value);
        assert_runs(fixture,
                    "return mark == nil and string.mark == nil and ('').mark == nil and math.mark "
                    "== nil and json.mark == nil and (pcall(error)) == false and "
                    "type(getmetatable) == 'function' and getmetatable({}) == nil and "
                    "tostring(1) == '1' and string.rep('x', 2) == 'xx' and math.max(1, 2) == 2",
                    "true");
        assert_evaluates(fixture, "mark == nil and string.mark == nil and ('').mark == nil",
                         "true");
    }
}

/* The environment of an expression cannot be written at all, nor can what the scope holds be
 * replaced for a later expression. */
static void an_expression_leaves_nothing_behind(void **state)
{
    struct lua_fixture *fixture = *state;
    static const char *const tries[] = {
        "(function() mark = 1 return 1 end)()",
        "(function() _ENV.mark = 1 return 1 end)()",
        "(function() return pcall(rawset, _ENV, 'mark', 1) end)()",
        "(function() local _ENV = {} mark = 1 return 1 end)()",
        "(function() return pcall(setmetatable, _ENV, {__index = {mark = 1}}) end)()",
    };
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        json_t *value = lua_evaluate(fixture, tries[i]);
        json_decref(value);
        assert_evaluates(fixture, "mark == nil", "true");
        assert_runs(fixture, "return mark == nil", "true");
    }
}

/* Bytecode and texts that close what surrounds them. */
static void only_plain_source_is_taken(void **state)
{
    struct lua_fixture *fixture = *state;
    static const char *const texts[] = {"\x1bLua", "1) end (", "1 end return 2 --",
                                        "local _ENV <const> = {}", "local _ENV <close> = nil"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_null(lua_evaluate(fixture, texts[i]));
        assert_int_equal(fixture->fault.kind, FAULT_INVALID);
        assert_null(lua_run(fixture, texts[i]));
        assert_int_equal(fixture->fault.kind, FAULT_INVALID);
    }
}

int escape_tests(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, lua_fixture_open, lua_fixture_close)
        TEST(nothing_leads_out),
        TEST(nothing_passes_from_one_script_to_the_next),
        TEST(an_expression_leaves_nothing_behind),
        TEST(only_plain_source_is_taken),
#undef TEST
    };
    return cmocka_run_group_tests_name("escape", tests, NULL, NULL);
}
