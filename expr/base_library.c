/* The basic functions, where the stock ones would let a script reach too far. */
#include "libraries.h"

#include "run.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>

static const char *const stock_names[] = {
    "assert", "error",  "getmetatable", "ipairs",   "next", "pairs",    "rawequal",
    "rawget", "rawlen", "select",       "tonumber", "type", "_VERSION", NULL};

/* Metamethods of a script's own tables. Those that would run outside the limits (__gc), change how
 * garbage is collected (__mode) or lie about lengths (__len) are missing. */
static const char *const metamethods[] = {
    "__add",  "__sub", "__mul",   "__div",      "__mod",  "__pow",      "__unm",    "__idiv",
    "__band", "__bor", "__bxor",  "__shl",      "__shr",  "__bnot",     "__concat", "__eq",
    "__lt",   "__le",  "__index", "__newindex", "__call", "__tostring", "__pairs",  NULL};
static const char *const refused[] = {"__gc", "__close", "__mode", "__len", "__metatable", NULL};

/* The key that marks a metatable as made by our setmetatable. */
static const char script_made = 's';

static bool is_script_made(lua_State *L, int metatable)
{
    bool is_made = lua_rawgetp(L, metatable, &script_made) != LUA_TNIL;
    lua_pop(L, 1);
    return is_made;
}

/*
 * The table gets a private copy of the metamethods. A later change of the script's metatable has no
 * effect, so what was refused cannot be brought in afterwards. getmetatable answers the script's.
 * __call must be a function: Lua 5.4.4 never returns from a chain of callable tables that loops.
 */
static int set_metatable(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
    lua_settop(L, 2);
    if (lua_getmetatable(L, 1) && !is_script_made(L, 3))
        return luaL_error(L, "cannot change a protected metatable");
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        lua_setmetatable(L, 1);
        return 1;
    }
    for (const char *const *name = refused; *name; name++) {
        lua_pushstring(L, *name);
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "a metatable may not have the field '%s'", *name);
        lua_pop(L, 1);
    }
    lua_createtable(L, 0, 4); /* 3 */
    for (const char *const *name = metamethods; *name; name++) {
        lua_pushstring(L, *name);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 2) == LUA_TNIL) {
            lua_pop(L, 2);
            continue;
        }
        if (lua_rawequal(L, -2, lua_upvalueindex(1)) && !lua_isfunction(L, -1))
            return luaL_error(L, "the field '__call' of a metatable must be a function");
        lua_rawset(L, 3);
    }
    lua_pushvalue(L, 2);
    lua_setfield(L, 3, "__metatable");
    lua_pushboolean(L, 1);
    lua_rawsetp(L, 3, &script_made);
    lua_setmetatable(L, 1);
    lua_settop(L, 1);
    return 1;
}

/* Writing past __newindex is for the script's own metatables alone: others protect shared tables.
 */
static int raw_set(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    if (luaL_getmetafield(L, 1, "__newindex") != LUA_TNIL) {
        lua_getmetatable(L, 1);
        if (!is_script_made(L, -1))
            return luaL_error(L, "this table is read-only");
    }
    lua_settop(L, 3);
    lua_rawset(L, 1);
    return 1;
}

/* Lua looks through all calls of the stack when it catches an error, so a deep one costs more. */
static void charge_catch(lua_State *L)
{
    lua_Debug activation;
    int depth = 1;
    while (lua_getstack(L, depth, &activation))
        depth *= 2;
    run_charge(L, 10 + depth / 4);
}

static int finish_pcall(lua_State *L, int status, lua_KContext context)
{
    (void)context;
    run_count_catchers(L, -1);
    if (status != LUA_OK && status != LUA_YIELD) {
        charge_catch(L);
        lua_pushboolean(L, 0);
        lua_pushvalue(L, -2);
        return 2;
    }
    return lua_gettop(L);
}

static int protected_call(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    run_count_catchers(L, 1);
    int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_pcall);
    return finish_pcall(L, status, 0);
}

void base_library_text(lua_State *L, int index)
{
    int type = lua_type(L, index);
    if (type == LUA_TLIGHTUSERDATA && !lua_touserdata(L, index)) {
        lua_pushliteral(L, "null");
    } else if (type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TUSERDATA ||
               type == LUA_TLIGHTUSERDATA || type == LUA_TTHREAD) {
        if (luaL_getmetafield(L, index, "__tostring") == LUA_TNIL) {
            lua_pushstring(L, lua_typename(L, type));
        } else {
            lua_pop(L, 1);
            luaL_tolstring(L, index, NULL);
        }
    } else {
        luaL_tolstring(L, index, NULL);
    }
}

static int to_string(lua_State *L)
{
    luaL_checkany(L, 1);
    base_library_text(L, 1);
    return 1;
}

void base_library_open(lua_State *L)
{
    /* The stock library writes into the registry's globals, which are emptied again. */
    lua_pushcfunction(L, luaopen_base);
    lua_call(L, 0, 1);
    lua_newtable(L);
    for (const char *const *name = stock_names; *name; name++) {
        lua_getfield(L, -2, *name);
        lua_setfield(L, -2, *name);
    }
    lua_remove(L, -2);
    lua_newtable(L);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);

    lua_pushliteral(L, "__call");
    lua_pushcclosure(L, set_metatable, 1);
    lua_setfield(L, -2, "setmetatable");
    lua_pushcfunction(L, protected_call);
    lua_setfield(L, -2, "pcall");
    lua_pushcfunction(L, raw_set);
    lua_setfield(L, -2, "rawset");
    lua_pushcfunction(L, to_string);
    lua_setfield(L, -2, "tostring");
}
