/*
 * A piece of Lua in a definition: where it stands, whether it compiles, and the slips that only
 * its names betray.
 *
 * Text and lines: `|` keeps the lines of the file, so that every Lua error has its line. Elsewhere
 * YAML joins lines; then the piece counts as one line, and what would break when joined (comments,
 * long strings) is refused.
 */
#pragma once
#include "reading.h"

enum lua_piece_kind {
    LUA_PIECE_LOCK_CONTEXT,
    LUA_PIECE_GUARD,
    LUA_PIECE_RULE,
    LUA_PIECE_KEY,
    LUA_PIECE_WHERE,
    LUA_PIECE_SCRIPT,
};

/* Relies on the names of inputs and data being read. On a problem *out keeps its value.
 * *uses_data: whether it mentions `data`; untouched for scripts. NULL if nobody asks. */
void lua_piece_read(struct reading *reading, const struct yaml_tree *value,
                    enum lua_piece_kind kind, struct lua_source *out, bool *uses_data);
