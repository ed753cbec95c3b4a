/*
 * What a piece of Lua sees of an execution: input, vars, event, activity, instance. Each value is
 * made when it is first read.
 */
#pragma once
#include "execution.h"

#include <lua.h>

/* A scope_source_fn; arg is the execution. */
bool execution_names_push(lua_State *L, const char *name, void *arg);

/* The scope that lock contexts and keys of data are evaluated in, one after the other: empty, with
 * source and the execution behind it. Borrowed until execution_names_leave. */
struct scope *execution_names_enter(const struct execution *execution, scope_source_fn *source);
void execution_names_leave(const struct execution *execution);
