#include "scope_state.h"

#include "json_lua.h"
#include "run.h"
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

struct wish {
    struct scope *scope;
    const char *name;
};

/* arguments: the wish; leaves the value, or nothing */
static int ask_source(lua_State *L)
{
    const struct wish *wish = lua_touserdata(L, 1);
    return wish->scope->source(L, wish->name, wish->scope->source_arg) ? 1 : 0;
}

/* Reading values[name], where it is not. Upvalues: the box with the scope, the libraries. */
static int find_value(lua_State *L)
{
    struct scope *const *self = lua_touserdata(L, lua_upvalueindex(1));
    struct scope *scope = *self;
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL || !scope || !scope->source ||
        lua_type(L, 2) != LUA_TSTRING)
        return 1;
    struct wish wish = {.scope = scope, .name = lua_tostring(L, 2)};
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    lua_pushcfunction(L, ask_source);
    lua_pushlightuserdata(L, &wish);
    struct run_pause pause;
    run_pause(scope->sandbox, &pause);
    int status = lua_pcall(L, 1, 1, 0);
    run_go_on(scope->sandbox, &pause);
    if (status != LUA_OK)
        return lua_error(L);
    lua_rotate(L, -2, 1); /* the value, once to keep and once to return */
    lua_pushvalue(L, -2);
    lua_rawset(L, 1);
    return 1;
}

/* Reading a global that a task has not assigned. Upvalues: the libraries of scripts, the values.
 * The task remembers it: a loop asks once. */
static int find_global(lua_State *L)
{
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_pushvalue(L, 2);
        if (lua_gettable(L, lua_upvalueindex(2)) == LUA_TNIL)
            return 1;
    }
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, 1);
    return 1;
}

static int open_scope(lua_State *L)
{
    struct scope *scope = lua_touserdata(L, 1);
    struct scope **self = lua_newuserdatauv(L, sizeof *self, 0); /* 2 */
    *self = scope;
    lua_createtable(L, 0, 8); /* 3: values */
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, 2);
    lua_rawgeti(L, LUA_REGISTRYINDEX, scope->sandbox->expression_libraries_ref);
    lua_pushcclosure(L, find_value, 2);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, 3);

    lua_createtable(L, 0, 0); /* 4: environment */
    push_window(L, 3);
    lua_pushcfunction(L, refuse_global);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, 4);

    lua_createtable(L, 0, 2); /* 5: metatable of tasks' globals */
    lua_rawgeti(L, LUA_REGISTRYINDEX, scope->sandbox->script_libraries_ref);
    lua_pushvalue(L, 3);
    lua_pushcclosure(L, find_global, 2);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");

    scope->task_metatable_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    scope->environment_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    scope->values_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    scope->self = self;
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
                            .task_metatable_ref = LUA_NOREF,
                            .thread_ref = LUA_NOREF};
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
    if (scope->self)
        *scope->self = NULL;
    /* A slot that is given back is written in place: nothing here can raise. */
    if (lua_checkstack(L, 4)) {
        luaL_unref(L, LUA_REGISTRYINDEX, scope->values_ref);
        luaL_unref(L, LUA_REGISTRYINDEX, scope->environment_ref);
        luaL_unref(L, LUA_REGISTRYINDEX, scope->task_metatable_ref);
        luaL_unref(L, LUA_REGISTRYINDEX, scope->thread_ref);
    }
    free(scope);
}

void scope_set_source(struct scope *scope, scope_source_fn *source, void *arg)
{
    scope->source = source;
    scope->source_arg = arg;
}

void scope_clear(struct scope *scope)
{
    lua_State *L = scope->sandbox->L;
    if (!lua_checkstack(L, 5))
        return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, scope->values_ref);
    lua_pushnil(L);
    while (lua_next(L, -2)) { /* emptying a field of a table that is walked is allowed */
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, -4);
    }
    lua_pop(L, 1);
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
