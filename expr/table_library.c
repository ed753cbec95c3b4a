/*
 * The table library. Each element touched is charged, since one call may touch any number of them
 * without an instruction that the hook would see. Elements are read and written with metamethods,
 * as in the stock library; lengths are raw, for no table of a sandbox has __len.
 */
#include "libraries.h"

#include "run.h"

#include <lauxlib.h>
#include <limits.h>

static lua_Integer length_of(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    return (lua_Integer)lua_rawlen(L, index);
}

static int table_insert(lua_State *L)
{
    lua_Integer end = length_of(L, 1) + 1;
    lua_Integer at = end;
    switch (lua_gettop(L)) {
    case 2: break;
    case 3:
        at = luaL_checkinteger(L, 2);
        luaL_argcheck(L, at >= 1 && at <= end, 2, "position out of bounds");
        run_charge(L, end - at);
        for (lua_Integer i = end; i > at; i--) {
            lua_geti(L, 1, i - 1);
            lua_seti(L, 1, i);
        }
        break;
    default: return luaL_error(L, "wrong number of arguments to 'insert'");
    }
    lua_seti(L, 1, at);
    return 0;
}

static int table_remove(lua_State *L)
{
    lua_Integer length = length_of(L, 1);
    lua_Integer at = luaL_optinteger(L, 2, length);
    if (!lua_isnoneornil(L, 2))
        luaL_argcheck(L, (at >= 1 && at <= length + 1) || (at == 0 && length == 0), 2,
                      "position out of bounds");
    run_charge(L, at < length ? length - at : 0);
    lua_geti(L, 1, at);
    for (; at < length; at++) {
        lua_geti(L, 1, at + 1);
        lua_seti(L, 1, at);
    }
    lua_pushnil(L);
    lua_seti(L, 1, at);
    return 1;
}

static int table_move(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer from = luaL_checkinteger(L, 2);
    lua_Integer end = luaL_checkinteger(L, 3);
    lua_Integer to = luaL_checkinteger(L, 4);
    int target = lua_isnoneornil(L, 5) ? 1 : 5;
    luaL_checktype(L, target, LUA_TTABLE);
    if (end >= from) {
        luaL_argcheck(L, from > 0 || end < LUA_MAXINTEGER + from, 3, "too many elements to move");
        lua_Integer n = end - from + 1;
        luaL_argcheck(L, to <= LUA_MAXINTEGER - n + 1, 4, "destination wrap around");
        run_charge(L, n);
        /* Overlapping parts of one table: in the order in which nothing is overwritten unread. */
        bool is_upwards = to > end || to <= from || !lua_rawequal(L, 1, target);
        for (lua_Integer i = 0; i < n; i++) {
            lua_Integer offset = is_upwards ? i : n - 1 - i;
            lua_geti(L, 1, from + offset);
            lua_seti(L, target, to + offset);
        }
    }
    lua_pushvalue(L, target);
    return 1;
}

static int table_concat(lua_State *L)
{
    lua_Integer length = length_of(L, 1);
    size_t separator_length;
    const char *separator = luaL_optlstring(L, 2, "", &separator_length);
    lua_Integer first = luaL_optinteger(L, 3, 1);
    lua_Integer last = luaL_optinteger(L, 4, length);
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    for (lua_Integer i = first; i <= last; i++) {
        run_charge(L, 1);
        lua_geti(L, 1, i);
        if (!lua_isstring(L, -1))
            return luaL_error(L, "invalid value (at index %I) in table for 'concat'",
                              (LUAI_UACINT)i);
        luaL_addvalue(&buffer);
        if (i == last)
            break; /* last may be the greatest integer */
        luaL_addlstring(&buffer, separator, separator_length);
    }
    luaL_pushresult(&buffer);
    return 1;
}

static int table_pack(lua_State *L)
{
    int n = lua_gettop(L);
    run_charge(L, n);
    lua_createtable(L, n, 1);
    lua_insert(L, 1);
    for (int i = n; i >= 1; i--)
        lua_seti(L, 1, i);
    lua_pushinteger(L, n);
    lua_setfield(L, 1, "n");
    return 1;
}

static int table_unpack(lua_State *L)
{
    lua_Integer first = luaL_optinteger(L, 2, 1);
    lua_Integer last = lua_isnoneornil(L, 3) ? length_of(L, 1) : luaL_checkinteger(L, 3);
    luaL_checktype(L, 1, LUA_TTABLE);
    if (first > last)
        return 0;
    lua_Unsigned n = (lua_Unsigned)last - (lua_Unsigned)first;
    if (n >= INT_MAX)
        return luaL_error(L, "too many results to unpack");
    run_charge(L, (int64_t)n + 1);
    if (!lua_checkstack(L, (int)n + 1))
        return luaL_error(L, "too many results to unpack");
    for (lua_Unsigned i = 0; i <= n; i++)
        lua_geti(L, 1, first + (lua_Integer)i);
    return (int)n + 1;
}

/* True if the value at index a (absolute) comes before the one at b. */
static bool before(lua_State *L, int a, int b)
{
    /* Long strings with a common beginning make a single comparison slow. */
    int64_t cost = 1;
    if (lua_type(L, a) == LUA_TSTRING && lua_type(L, b) == LUA_TSTRING) {
        size_t length_a = lua_rawlen(L, a), length_b = lua_rawlen(L, b);
        cost += (int64_t)((length_a < length_b ? length_a : length_b) / 64);
    }
    run_charge(L, cost);
    if (lua_isnil(L, 2))
        return lua_compare(L, a, b, LUA_OPLT);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, a);
    lua_pushvalue(L, b);
    lua_call(L, 2, 1);
    bool result = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return result;
}

/* Puts the value on top of the stack into the heap of n elements, from the hole downwards. */
static void sift(lua_State *L, lua_Integer hole, lua_Integer n)
{
    int value = lua_gettop(L);
    for (lua_Integer child = 2 * hole; child <= n; child = 2 * hole) {
        lua_geti(L, 1, child);
        if (child < n) {
            lua_geti(L, 1, child + 1);
            if (before(L, value + 1, value + 2)) {
                child++;
                lua_replace(L, value + 1);
            } else {
                lua_pop(L, 1);
            }
        }
        if (!before(L, value, value + 1)) {
            lua_pop(L, 1);
            break;
        }
        lua_seti(L, 1, hole);
        hole = child;
    }
    lua_seti(L, 1, hole);
}

/* A heap sort: it ends in n log n steps whatever the comparison answers. */
static int table_sort(lua_State *L)
{
    lua_Integer n = length_of(L, 1);
    luaL_argcheck(L, n < INT_MAX, 1, "array too big");
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    for (lua_Integer i = n / 2; i >= 1; i--) {
        lua_geti(L, 1, i);
        sift(L, i, n);
    }
    for (lua_Integer i = n; i >= 2; i--) {
        lua_geti(L, 1, i);
        lua_geti(L, 1, 1);
        lua_seti(L, 1, i);
        sift(L, 1, i - 1);
    }
    return 0;
}

void table_library_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"concat", table_concat}, {"insert", table_insert},
        {"move", table_move},     {"pack", table_pack},
        {"remove", table_remove}, {"sort", table_sort},
        {"unpack", table_unpack}, {NULL, NULL},
    };
    luaL_newlib(L, functions);
}
