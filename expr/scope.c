#include "scope_state.h"

#include "json_lua.h"
#include "sandbox_state.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

static int refuse_global(lua_State *L)
{
    return luaL_error(L, "an expression may not assign the global '%s'",
                      lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?");
}

/* Pushes a locked metatable that reads on in the table at `behind` (absolute). */
static void push_window(lua_State *L, int behind)
{
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, behind);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
}

static int open_scope(lua_State *L)
{
    struct scope *scope = lua_touserdata(L, 1);
    lua_createtable(L, 0, 8); /* 2: values */
    lua_rawgeti(L, LUA_REGISTRYINDEX, scope->sandbox->values_metatable_ref);
    lua_setmetatable(L, 2);

    lua_createtable(L, 0, 0); /* 3: environment */
    push_window(L, 2);
    lua_pushcfunction(L, refuse_global);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, 3);

    push_window(L, 2);
    scope->task_metatable_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    scope->environment_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    scope->values_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

bool scope_new(struct sandbox *sandbox, struct scope **out, struct fault *fault)
{
    struct scope *scope = malloc(sizeof *scope);
    if (!scope)
        return fault_no_memory(fault);
    *scope = (struct scope){.sandbox = sandbox,
                            .values_ref = LUA_NOREF,
                            .environment_ref = LUA_NOREF,
                            .task_metatable_ref = LUA_NOREF};
    if (!sandbox_protect(sandbox, open_scope, scope, 0, fault)) {
        scope_free(scope);
        return false;
    }
    *out = scope;
    return true;
}

void scope_free(struct scope *scope)
{
    if (!scope)
        return;
    lua_State *L = scope->sandbox->L;
    /* A slot that is given back is written in place: nothing here can raise. */
    if (lua_checkstack(L, 4)) {
        luaL_unref(L, LUA_REGISTRYINDEX, scope->values_ref);
        luaL_unref(L, LUA_REGISTRYINDEX, scope->environment_ref);
        luaL_unref(L, LUA_REGISTRYINDEX, scope->task_metatable_ref);
    }
    free(scope);
}

struct setting {
    struct scope *scope;
    const char *name;
    const json_t *value; /* NULL: the value is on the stack */
};

static int set(lua_State *L)
{
    const struct setting *setting = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, setting->scope->values_ref);
    lua_pushstring(L, setting->name);
    if (setting->value)
        json_lua_push(L, setting->value);
    else
        lua_pushvalue(L, 2);
    lua_rawset(L, -3);
    return 0;
}

bool scope_set_json(struct scope *scope, const char *name, const json_t *value, struct fault *fault)
{
    struct setting setting = {.scope = scope, .name = name, .value = value};
    return sandbox_protect(scope->sandbox, set, &setting, 0, fault);
}

bool scope_set_top(struct scope *scope, const char *name, struct fault *fault)
{
    struct setting setting = {.scope = scope, .name = name};
    return sandbox_protect(scope->sandbox, set, &setting, 1, fault);
}

void scope_push(struct scope *scope, lua_State *L, const char *name)
{
    /* Compares with the few names there are: making the name a Lua string could raise. */
    lua_checkstack(L, 4);
    lua_rawgeti(L, LUA_REGISTRYINDEX, scope->values_ref);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (strcmp(lua_tostring(L, -2), name) == 0) {
            lua_rotate(L, -3, 1);
            lua_pop(L, 2);
            return;
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    lua_pushnil(L);
}
