#include "pattern_pair.h"

#include "libraries.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

void pattern_text_add(struct pattern_text *text, const char *piece, size_t length)
{
    if (text->length + length >= PATTERN_TEXT_BYTES)
        return;
    memcpy(text->bytes + text->length, piece, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

void pattern_pair_open(lua_State *L)
{
    lua_newtable(L);
    pattern_library_add(L);
    lua_pushcfunction(L, luaopen_string);
    lua_call(L, 0, 1);
}

static int replace_function(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING && lua_rawlen(L, 1) % 2 == 1) {
        lua_pushboolean(L, 0);
        return 1;
    }
    lua_pushfstring(L, "<%d>", lua_gettop(L));
    return 1;
}

static void push_text(lua_State *L, const struct pattern_text *text)
{
    lua_pushlstring(L, text->bytes, text->length);
}

void pattern_pair_answer(lua_State *L, int library, const struct pattern_case *test)
{
    static const char *const names[PATTERN_N_KINDS] = {"find", "match", "find", "gmatch",
                                                       "gsub", "gsub",  "gsub"};
    int base = lua_gettop(L);
    lua_newtable(L);
    lua_getfield(L, library, names[test->kind]);
    push_text(L, &test->subject);
    push_text(L, &test->pattern);
    if (test->kind == PATTERN_GSUB_STRING) {
        push_text(L, &test->replacement);
    } else if (test->kind == PATTERN_GSUB_FUNCTION) {
        lua_pushcfunction(L, replace_function);
    } else if (test->kind == PATTERN_GSUB_TABLE) {
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
    else if (test->kind == PATTERN_PLAIN)
        lua_pushnil(L);
    if (test->kind == PATTERN_PLAIN)
        lua_pushboolean(L, 1);
    bool ok = lua_pcall(L, lua_gettop(L) - base - 2, LUA_MULTRET, 0) == LUA_OK;
    int n = 0;
    if (ok && test->kind == PATTERN_GMATCH) {
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

static bool holds_all_of(lua_State *L, int a, int b)
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

bool pattern_pair_same(lua_State *L, int a, int b)
{
    return holds_all_of(L, a, b) && holds_all_of(L, b, a);
}
