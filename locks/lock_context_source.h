/*
 * Internal to locks: makes a nil in a list visible.
 *
 * `{"message", input.id}` without an id is {"message", nil}, and a Lua table cannot tell that from
 * {"message"}: the lock of one message would silently become the lock of all. So each item of a
 * table constructor in a lock context is passed through a function that refuses nil:
 *
 *     {"message", input.id}  ->  {_lock_item(1,("message")), _lock_item(2,input.id)}
 *
 * The last item is not put in brackets, since it may give several values. Lines stay what they are.
 */
#pragma once
#include "text.h"

#include <lua.h>

#define LOCK_CONTEXT_SOURCE_ITEM "_lock_item"

/* Adds the changed text to out. text must compile; of any other text it makes anything. Fails for
 * memory, out's limit or constructors that are nested too deep. */
MUST_CHECK bool lock_context_source_add(const char *text, struct text *out, struct fault *fault);

/* The function: its first argument is the number of the item, the others are returned. */
int lock_context_source_item(lua_State *L);
