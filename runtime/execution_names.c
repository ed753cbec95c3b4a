#include "execution_names.h"

#include "json_lua.h"
#include "runtime_state.h"

#include <string.h>

static void push_object(lua_State *L, const json_t *value)
{
    if (value)
        json_lua_push(L, value);
    else
        lua_newtable(L);
}

static void push_activity(lua_State *L, const struct execution *execution)
{
    lua_createtable(L, 0, 1);
    lua_pushstring(L, execution_activity(execution)->name);
    lua_setfield(L, -2, "name");
}

static void push_instance(lua_State *L, const struct execution *execution)
{
    lua_createtable(L, 0, 3);
    lua_pushstring(L, execution->id);
    lua_setfield(L, -2, "id");
    lua_pushstring(L, execution->workflow->definition->name);
    lua_setfield(L, -2, "workflow");
    lua_pushinteger(L, execution->workflow->version);
    lua_setfield(L, -2, "version");
}

bool execution_names_push(lua_State *L, const char *name, void *arg)
{
    const struct execution *execution = arg;
    if (strcmp(name, "input") == 0)
        json_lua_push(L, execution->input);
    else if (strcmp(name, "vars") == 0)
        push_object(L, execution->instance.vars);
    else if (strcmp(name, "event") == 0 && execution->event)
        json_lua_push(L, execution->event);
    else if (strcmp(name, "activity") == 0)
        push_activity(L, execution);
    else if (strcmp(name, "instance") == 0)
        push_instance(L, execution);
    else
        return false;
    return true;
}

struct scope *execution_names_enter(const struct execution *execution, scope_source_fn *source)
{
    struct scope *scope = execution->runtime->scope;
    scope_set_source(scope, source, (void *)execution);
    return scope;
}

void execution_names_leave(const struct execution *execution)
{
    struct scope *scope = execution->runtime->scope;
    scope_set_source(scope, NULL, NULL);
    scope_clear(scope);
}
