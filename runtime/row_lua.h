/*
 * Rows as scripts, guards and rules see them: `data.message.read = data.message.read + 1`.
 * A row is a userdata over a struct row_change; reading an unknown column is an error, an
 * assignment is checked against the column's type, range and NOT NULL at once, with the line.
 *
 * int2/4/8 <-> integer, float4/8 <-> float, boolean <-> boolean, text types and uuid <-> string,
 * json/jsonb <-> table (changes inside it count), null <-> nil, numeric -> a number where no digit
 * is lost, otherwise an exact string, and any of them back; timestamps ISO 8601 strings
 * ("2026-01-02T03:04:05.678Z" for timestamptz, "+02:00" for an offset; years before Christ and
 * infinity stay as PostgreSQL writes them); everything else its text form.
 *
 * An integer column takes 3.0 as 3. A float4 is rounded to what the database will keep. What
 * scripts assign to a numeric, timestamp or json column counts as a change only if it is another
 * value than the row's own, however it is spelt.
 *
 * pairs(row) yields each column and its value, nil for null. One row needs one userdata in a
 * script: each has its own tables of json columns, and two would overwrite each other's changes.
 */
#pragma once
#include "row.h"

#include <lua.h>

/* Registers the metatables in the state. Once per state; may raise: call it protected. */
void row_lua_open(lua_State *L);

/* What a row userdata needs while it lives: owned by whoever runs the script. */
struct row_binding {
    struct row_change *change;
    struct region *region;
    const char *name; /* "data.message", for errors; kept */
    bool read_only;   /* guards and rules: assignments raise, json tables are copies of no effect */
    bool dead;        /* the row went away or its transaction ended: every use raises */
};

/* Pushes a userdata over the binding, which must outlive its use (set dead before it goes: the
 * userdata holds only the pointer, so also call row_lua_detach). May raise for memory. */
void row_lua_push(lua_State *L, struct row_binding *binding);

/* Cuts the userdata at index off its binding: later uses raise "the row is gone". Raises nothing.
 */
void row_lua_detach(lua_State *L, int index);

/* The binding of the value at index, NULL if it is no row or detached. Raises nothing, given four
 * free slots on the stack. */
struct row_binding *row_lua_binding(lua_State *L, int index);

/* After the script ended, and before rules are evaluated: moves changes made inside json columns'
 * tables into the change. index is the row's userdata; one that is dead, detached or read-only is
 * left alone. May raise (a table that is no JSON): call it protected. */
void row_lua_settle(lua_State *L, int index);

/* Converts one Lua value to a cell of the column; raises nothing, fails with FAULT_SCRIPT
 * "column read is an integer, got string \"x\"". Runs no metamethods. nil fails where the column
 * is not null; whether a generated column may be given is for the caller to say. */
MUST_CHECK bool row_lua_to_cell(lua_State *L, int index, const struct column *column,
                                struct region *region, struct cell *out, struct fault *fault);

/* Pushes a cell as a Lua value. May raise for memory and for JSON beyond our limits. */
void row_lua_push_cell(lua_State *L, const struct column *column, const struct cell *cell);

/* The same for a cell of JSON that is not null. name is for the error, "" = none. */
void row_lua_push_json(lua_State *L, const char *name, const struct column *column,
                       const struct cell *cell);
