#include "libraries.h"
#include "sandbox_state.h"

#include <lauxlib.h>

static int offer(lua_State *L)
{
    lua_CFunction open = lua_tocfunction(L, 2);
    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, sandbox_of(L)->script_libraries_ref);
    open(L);
    return 0;
}

bool sandbox_offer(struct sandbox *sandbox, int (*open)(lua_State *L), struct fault *fault)
{
    if (!lua_checkstack(sandbox->L, 4))
        return fault_no_memory(fault);
    lua_pushcfunction(sandbox->L, open);
    return sandbox_protect(sandbox, offer, NULL, 1, fault);
}

void sandbox_seal(lua_State *L)
{
    libraries_seal(L);
}
