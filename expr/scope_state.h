/* Internal to expr: the tables of a scope, as keys of the registry. */
#pragma once
#include "scope.h"

/*
 *   expressions:  environment (empty, read-only) ----+
 *                                                    +-> values --> libraries, then the source
 *   a task:       its globals --> script libraries --+
 *
 * What the source gave stays in values; what a task found stays in its globals.
 */
struct scope {
    struct sandbox *sandbox;
    struct scope **self; /* a userdata that the tables hold; NULL in it once the scope is gone */
    int values_ref;
    int environment_ref;
    int task_metatable_ref; /* of the globals of tasks */
    int thread_ref;         /* of a coroutine that the next task may have, or LUA_NOREF */
    lua_State *thread;
    scope_source_fn *source;
    void *source_arg;
};
