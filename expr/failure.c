#include "failure.h"

#include "utf8.h"

#include <ctype.h>
#include <inttypes.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

/* Scripts choose their error texts: only clean UTF-8 without control characters goes on. */
static void copy_clean(char *out, size_t out_bytes, const char *bytes, size_t n_bytes)
{
    size_t used = 0;
    for (size_t at = 0; at < n_bytes;) {
        size_t length = utf8_character(bytes + at, n_bytes - at);
        size_t step = length ? length : 1;
        if (used + step >= out_bytes)
            break;
        unsigned char first = (unsigned char)bytes[at];
        if (!length)
            out[used++] = '?';
        else if (first < ' ' || first == 0x7F)
            out[used++] = ' ';
        else {
            memcpy(out + used, bytes + at, length);
            used += length;
        }
        at += step;
    }
    out[used] = '\0';
}

static void describe(lua_State *L, char *out, size_t out_bytes)
{
    size_t length = 0;
    const char *string;
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        string = lua_tolstring(L, -1, &length);
        copy_clean(out, out_bytes, string, length);
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, -1))
            snprintf(out, out_bytes, "raised the number %" PRId64, (int64_t)lua_tointeger(L, -1));
        else
            snprintf(out, out_bytes, "raised the number %.14g", lua_tonumber(L, -1));
        break;
    case LUA_TNIL: snprintf(out, out_bytes, "raised nil"); break;
    case LUA_TBOOLEAN:
        snprintf(out, out_bytes, "raised %s", lua_toboolean(L, -1) ? "true" : "false");
        break;
    default: snprintf(out, out_bytes, "raised a %s without a message", luaL_typename(L, -1)); break;
    }
}

/* Lua shortens long file names to "...end of the name". Returns what follows a place at the start
 * of message (":LINE: reason"), or NULL when it has none. */
static const char *after_file(const char *message, const char *file)
{
    size_t length = strlen(file);
    const char *after = NULL;
    if (length < LUA_IDSIZE - 1) {
        if (strncmp(message, file, length) == 0)
            after = message + length;
    } else if (strncmp(message, "...", 3) == 0) {
        size_t kept = LUA_IDSIZE - 1 - 3;
        if (strncmp(message + 3, file + length - kept, kept) == 0)
            after = message + 3 + kept;
    }
    return after && after[0] == ':' && isdigit((unsigned char)after[1]) ? after : NULL;
}

bool failure_from_error(lua_State *L, int status, enum fault_kind kind, const struct source *source,
                        struct fault *fault)
{
    char message[FAULT_TEXT_BYTES] = "";
    if (status == LUA_ERRMEM) {
        kind = FAULT_EXHAUSTED;
        snprintf(message, sizeof message, "no memory is left for Lua");
    } else {
        describe(L, message, sizeof message);
    }
    if (!source)
        return fault_set(fault, kind, "%s", message);
    const char *after = after_file(message, source->file);
    if (after)
        return fault_set(fault, kind, "%s%s", source->file, after);
    return fault_set(fault, kind, "%s:%d: %s: %s", source->file, source->line, source->what,
                     message);
}
