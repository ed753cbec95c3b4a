/*
 * JSON <-> Lua. Objects and arrays become plain tables; integers stay integers; null is nil, and
 * inside an array or object the value json.null (a light userdata) so that lengths survive.
 * From Lua: a table with keys 1..n is an array, with string keys an object, an empty one an object
 * unless it came from a JSON array (json arrays are marked by a shared metatable). Mixed keys,
 * holes, functions, NaN, infinity, invalid UTF-8, cycles and depth over JSON_DEPTH_MAX are errors.
 */
#pragma once
#include "json.h"

#include <lua.h>

/* Pushes a Lua copy. May raise a Lua error for memory: call it protected. */
void json_lua_push(lua_State *L, const json_t *value);

/* Pushes json.null. Never raises; needs a free slot of the stack. */
void json_lua_push_null(lua_State *L);

/* Parses text that is to become a Lua value, of at most 4 MiB and 50,000 values: the parser's
 * memory is not Lua's and may be forty times the text. *out is yours to json_decref. Fails with
 * FAULT_INVALID. */
MUST_CHECK bool json_lua_parse(const char *what, const char *bytes, size_t n_bytes, json_t **out,
                               struct fault *fault);

/* Reads the value at index without running metamethods; the stack is left as it was, and nothing
 * raises. *out is yours to json_decref. A table in several places is read as often as it stands.
 * Fails with FAULT_SCRIPT and the path of the offending part ("output.items[3]"). */
MUST_CHECK bool json_lua_read(lua_State *L, int index, const char *what, json_t **out,
                              struct fault *fault);
