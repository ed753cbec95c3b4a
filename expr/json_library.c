/* What scripts see as `json`: encode, decode, null. */
#include "libraries.h"

#include "json_lua.h"
#include "run.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

static int push_value(lua_State *L)
{
    json_lua_push(L, lua_touserdata(L, 1));
    return 1;
}

static int push_chars(lua_State *L)
{
    lua_pushstring(L, lua_touserdata(L, 1));
    return 1;
}

/* C memory is at stake: what may raise runs protected, the caller frees and hands the error on. */
static int call_protected(lua_State *L, lua_CFunction body, void *arg)
{
    lua_pushcfunction(L, body);
    lua_pushlightuserdata(L, arg);
    return lua_pcall(L, 1, 1, 0);
}

static int raise_fault(lua_State *L, const struct fault *fault)
{
    if (fault->kind == FAULT_EXHAUSTED)
        return run_raise_no_memory(L);
    return luaL_error(L, "%s", fault->text);
}

static int json_encode(lua_State *L)
{
    struct fault fault;
    json_t *value = NULL;
    luaL_checkany(L, 1);
    if (!json_lua_read(L, 1, "value", &value, &fault))
        return raise_fault(L, &fault);
    char *chars = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    json_decref(value);
    if (!chars)
        return run_raise_no_memory(L);
    int status = call_protected(L, push_chars, chars);
    free(chars);
    if (status != LUA_OK)
        return lua_error(L);
    run_charge(L, (int64_t)(lua_rawlen(L, -1) / 8));
    return 1;
}

static int json_decode(lua_State *L)
{
    struct fault fault;
    size_t length;
    json_t *value = NULL;
    const char *bytes = luaL_checklstring(L, 1, &length);
    run_charge(L, (int64_t)(length / 8));
    if (!json_lua_parse("json.decode", bytes, length, &value, &fault))
        return raise_fault(L, &fault);
    int status = call_protected(L, push_value, value);
    json_decref(value);
    return status == LUA_OK ? 1 : lua_error(L);
}

void json_library_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"decode", json_decode},
        {"encode", json_encode},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    json_lua_push_null(L);
    lua_setfield(L, -2, "null");
}
