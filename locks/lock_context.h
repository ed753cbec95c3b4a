/*
 * From the value of a lock context to paths (docs/locks.md, "From a lock context").
 * string -> one segment; integer or integral float -> its decimal text; boolean -> true/false;
 * array of those -> a path; array of arrays -> several paths; lock.system -> the whole system.
 * Anything else is FAULT_INVALID with the reason: it must neither widen nor narrow the lock.
 */
#pragma once
#include "expression.h"
#include "lock_set.h"
#include "scope.h"

#include <lua.h>

/* Compiles a lock context, as expression_compile does, so that a nil in a list is an error when it
 * is evaluated: a table does not show that its last item was nil, and the lock would be wider.
 * It must be evaluated in a scope to which lock_context_offer was applied. */
MUST_CHECK bool lock_context_compile(struct sandbox *sandbox, const char *file,
                                     struct lua_source source, struct expression **out,
                                     struct fault *fault);

/* What lock contexts need beside their data: `lock`, a read-only table with the one field `system`,
 * and what lock_context_compile puts in. Pushes the value of one of these names, or nothing and is
 * false: for the source of a scope. May raise for memory. */
bool lock_context_name(lua_State *L, const char *name);

/* Makes these names the source of a scope. */
void lock_context_offer(struct scope *scope);

/* Pushes the value of lock.system, for a `lock` table that has more fields. Needs a free slot. */
void lock_context_push_system(lua_State *L);

/* Reads the value at index by raw access only; it raises nothing, and the stack is left as it was.
 * *out is yours to lock_set_free. Fails with FAULT_INVALID: "segment 2 is nil",
 * "path 3, segment 1 is 1.5, not a whole number", ... More than LOCK_SET_PATHS_MAX paths are
 * refused as they were given, duplicates included. */
MUST_CHECK bool lock_context_read(lua_State *L, int index, const char *name_space,
                                  struct lock_set **out, struct fault *fault);
