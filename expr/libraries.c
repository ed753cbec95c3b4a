#include "libraries.h"

#include <lauxlib.h>
#include <lualib.h>

static const char *const utf8_names[] = {"char", "charpattern", "codepoint", "codes",
                                         "len",  "offset",      NULL};
static const char *const math_names[] = {
    "abs",  "acos", "asin", "atan", "ceil",       "cos",  "deg",        "exp",  "floor",
    "fmod", "huge", "log",  "max",  "maxinteger", "min",  "mininteger", "modf", "pi",
    "rad",  "sin",  "sqrt", "tan",  "tointeger",  "type", "ult",        NULL};
/* The seed stays out: it would be shared by all scripts. */
static const char *const math_script_names[] = {"random", NULL};

static int refuse_write(lua_State *L)
{
    return luaL_error(L, "this table is read-only");
}

void libraries_seal(lua_State *L)
{
    lua_newtable(L);
    lua_createtable(L, 0, 3);
    lua_rotate(L, -3, -1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

/* Copies fields from the table at `from` (an absolute index) to the table on top. */
static void copy(lua_State *L, int from, const char *const names[])
{
    for (; *names; names++) {
        lua_getfield(L, from, *names);
        lua_setfield(L, -2, *names);
    }
}

static void push_stock(lua_State *L, lua_CFunction open)
{
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
}

void libraries_open(lua_State *L)
{
    int base = lua_gettop(L);
    base_library_open(L); /* base + 1: the globals of expressions */
    lua_newtable(L);      /* base + 2: of scripts */

    string_library_open(L);
    libraries_seal(L);
    lua_setfield(L, base + 1, "string");
    table_library_open(L);
    libraries_seal(L);
    lua_setfield(L, base + 1, "table");

    push_stock(L, luaopen_utf8); /* base + 3 */
    lua_newtable(L);
    copy(L, base + 3, utf8_names);
    libraries_seal(L);
    lua_setfield(L, base + 1, "utf8");
    lua_settop(L, base + 2);

    push_stock(L, luaopen_math); /* base + 3 */
    lua_newtable(L);
    copy(L, base + 3, math_names);
    libraries_seal(L);
    lua_setfield(L, base + 1, "math");
    lua_newtable(L);
    copy(L, base + 3, math_names);
    copy(L, base + 3, math_script_names);
    libraries_seal(L);
    lua_setfield(L, base + 2, "math");
    lua_settop(L, base + 2);

    json_library_open(L);
    libraries_seal(L);
    lua_setfield(L, base + 2, "json");
}
