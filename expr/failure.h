/* Internal to expr: from what Lua raised to a fault. */
#pragma once
#include "fault.h"
#include "source.h"

#include <lua.h>

/* Reads the error object on top of the stack, whatever it is, without running its metamethods, and
 * leaves it there. The text gets "FILE:LINE: what: " in front unless it begins with a place; source
 * may be NULL. Memory errors become FAULT_EXHAUSTED, others `kind`. Returns false. Never raises. */
bool failure_from_error(lua_State *L, int status, enum fault_kind kind, const struct source *source,
                        struct fault *fault);
