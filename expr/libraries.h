/* Internal to expr: the names that every piece of Lua sees, by allow-list. */
#pragma once
#include <lua.h>

/* Pushes two tables: the globals of expressions, and those that scripts have in addition. Libraries
 * among them are empty tables that read through to hidden ones, so that no state is shared by
 * writing. Locks the metatable of strings. Raises without memory: call it protected. */
void libraries_open(lua_State *L);

/* Takes the table on top away and puts a read-only view of it there. */
void libraries_seal(lua_State *L);

/* Each pushes a table of functions, for libraries_open alone. */
void base_library_open(lua_State *L);
void string_library_open(lua_State *L); /* also sets the metatable of strings */
void pattern_library_add(lua_State *L); /* adds find, match, gmatch, gsub to the table on top */
void table_library_open(lua_State *L);
void json_library_open(lua_State *L);

/* tostring without addresses, which differ from run to run: pushes the text of the value. */
void base_library_text(lua_State *L, int index);
