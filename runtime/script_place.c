#include "script_place.h"

#include "runtime_state.h"

#include <lauxlib.h>
#include <stdlib.h>

enum {
    IDLE_MAX = 64,      /* places kept for later */
    IDLE_ROWS_MAX = 64, /* a place that had more rows is not worth keeping */
};

static int open_place(lua_State *L)
{
    struct script_place *place = lua_touserdata(L, 1);
    lua_newtable(L);
    place->rows_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    place->data_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    sandbox_seal(L); /* `data.message = {}` would save nothing: it is an error */
    place->sealed_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static void place_free(struct script_place *place)
{
    lua_State *L = sandbox_lua(place->runtime->sandbox);
    scope_free(place->scope);
    luaL_unref(L, LUA_REGISTRYINDEX, place->data_ref);
    luaL_unref(L, LUA_REGISTRYINDEX, place->sealed_ref);
    luaL_unref(L, LUA_REGISTRYINDEX, place->rows_ref);
    free(place);
}

static bool place_new(struct runtime *runtime, struct script_place **out, struct fault *fault)
{
    struct script_place *place = calloc(1, sizeof *place);
    if (!place)
        return fault_no_memory(fault);
    lua_State *L = sandbox_lua(runtime->sandbox);
    place->runtime = runtime;
    place->data_ref = place->sealed_ref = place->rows_ref = LUA_NOREF;
    bool ok = scope_new(runtime->sandbox, &place->scope, fault);
    if (ok && !lua_checkstack(L, 4))
        ok = fault_no_memory(fault);
    if (ok) {
        lua_pushcfunction(L, open_place);
        lua_pushlightuserdata(L, place);
        ok = lua_pcall(L, 1, 0, 0) == LUA_OK;
        if (!ok) {
            lua_pop(L, 1);
            fault_no_memory(fault);
        }
    }
    if (!ok) {
        place_free(place);
        return false;
    }
    *out = place;
    return true;
}

bool script_place_take(struct runtime *runtime, struct script_place **out, struct fault *fault)
{
    struct script_place *place = runtime->places;
    if (!place)
        return place_new(runtime, out, fault);
    runtime->places = place->next;
    runtime->n_places--;
    *out = place;
    return true;
}

/* Fields that are there are emptied in place: nothing here can raise. */
static void empty(lua_State *L, int ref)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, -4);
    }
    lua_pop(L, 1);
}

void script_place_give(struct script_place *place, int n_rows)
{
    if (!place)
        return;
    struct runtime *runtime = place->runtime;
    lua_State *L = sandbox_lua(runtime->sandbox);
    if (runtime->n_places >= IDLE_MAX || n_rows > IDLE_ROWS_MAX || !lua_checkstack(L, 5)) {
        place_free(place);
        return;
    }
    scope_set_source(place->scope, NULL, NULL);
    scope_clear(place->scope);
    empty(L, place->data_ref);
    empty(L, place->rows_ref);
    place->next = runtime->places;
    runtime->places = place;
    runtime->n_places++;
}

void script_place_free_all(struct runtime *runtime)
{
    while (runtime->places) {
        struct script_place *place = runtime->places;
        runtime->places = place->next;
        place_free(place);
    }
    runtime->n_places = 0;
}
