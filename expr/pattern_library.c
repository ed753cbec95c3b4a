/* string.find, match, gmatch and gsub on the counting matcher. */
#include "libraries.h"
#include "pattern.h"
#include "run.h"

#include <lauxlib.h>
#include <string.h>

/* The offset at which a search from argument `arg` begins; may be behind the end. */
static size_t start_offset(lua_State *L, int arg, size_t length)
{
    lua_Integer init = luaL_optinteger(L, arg, 1);
    if (init > 0)
        return (lua_Unsigned)init - 1 > length ? length + 1 : (size_t)init - 1;
    if (init == 0 || (lua_Unsigned)0 - (lua_Unsigned)init > length)
        return 0;
    return length - (size_t)(-init);
}

static bool is_plain(const char *pattern, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (pattern[i] && strchr("^$*+?.([%-", pattern[i]))
            return false;
    return true;
}

/* Two-way search of the C library: no product of the two lengths. */
static int find_plain(lua_State *L, const char *subject, size_t length, size_t offset,
                      const char *wanted, size_t wanted_length)
{
    run_charge(L, (int64_t)((length - offset) / 32));
    const char *found = memmem(subject + offset, length - offset, wanted, wanted_length);
    if (!found) {
        luaL_pushfail(L);
        return 1;
    }
    lua_pushinteger(L, found - subject + 1);
    lua_pushinteger(L, found - subject + (lua_Integer)wanted_length);
    return 2;
}

static int search(lua_State *L, bool is_find)
{
    size_t length, text_length;
    const char *subject = luaL_checklstring(L, 1, &length);
    const char *text = luaL_checklstring(L, 2, &text_length);
    size_t offset = start_offset(L, 3, length);
    if (offset > length) {
        luaL_pushfail(L);
        return 1;
    }
    if (is_find && (lua_toboolean(L, 4) || is_plain(text, text_length)))
        return find_plain(L, subject, length, offset, text, text_length);

    bool is_anchored = *text == '^';
    struct pattern pattern;
    pattern_init(&pattern, L, subject, length, text_length, text);
    for (const char *at = subject + offset; at <= pattern.subject_end; at++) {
        pattern.n_captures = 0;
        const char *end = pattern_match(&pattern, at, text + is_anchored);
        if (end) {
            pattern_charge(&pattern);
            if (!is_find)
                return pattern_push_captures(&pattern, at, end, /* whole= */ true);
            lua_pushinteger(L, at - subject + 1);
            lua_pushinteger(L, end - subject);
            return 2 + pattern_push_captures(&pattern, at, end, /* whole= */ false);
        }
        if (is_anchored)
            break;
    }
    pattern_charge(&pattern);
    luaL_pushfail(L);
    return 1;
}

static int string_find(lua_State *L)
{
    return search(L, true);
}

static int string_match(lua_State *L)
{
    return search(L, false);
}

/* Upvalues: subject, pattern, offset of the next try, end of the last match or -1. An empty match
 * right behind the last one does not count. */
static int gmatch_next(lua_State *L)
{
    size_t length, text_length;
    const char *subject = lua_tolstring(L, lua_upvalueindex(1), &length);
    const char *text = lua_tolstring(L, lua_upvalueindex(2), &text_length);
    lua_Integer offset = lua_tointeger(L, lua_upvalueindex(3));
    lua_Integer last_end = lua_tointeger(L, lua_upvalueindex(4));
    struct pattern pattern;
    pattern_init(&pattern, L, subject, length, text_length, text);
    for (; offset <= (lua_Integer)length; offset++) {
        pattern.n_captures = 0;
        const char *end = pattern_match(&pattern, subject + offset, text);
        if (end && end - subject != last_end) {
            pattern_charge(&pattern);
            lua_pushinteger(L, end - subject);
            lua_copy(L, -1, lua_upvalueindex(3));
            lua_replace(L, lua_upvalueindex(4));
            return pattern_push_captures(&pattern, subject + offset, end, /* whole= */ true);
        }
    }
    pattern_charge(&pattern);
    lua_pushinteger(L, offset);
    lua_replace(L, lua_upvalueindex(3));
    return 0;
}

static int string_gmatch(lua_State *L)
{
    size_t length;
    luaL_checklstring(L, 1, &length);
    luaL_checkstring(L, 2);
    size_t offset = start_offset(L, 3, length);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)offset);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

/* Adds the replacement string of a match, with %0 to %9 and %% filled in. */
static void add_filled(struct pattern *pattern, luaL_Buffer *out, const char *start,
                       const char *end)
{
    lua_State *L = pattern->L;
    size_t length;
    const char *at = lua_tolstring(L, 3, &length);
    const char *at_end = at + length;
    while (at < at_end) {
        const char *mark = memchr(at, '%', (size_t)(at_end - at));
        const char *stop = mark ? mark : at_end;
        luaL_addlstring(out, at, (size_t)(stop - at));
        if (!mark)
            return;
        pattern->steps += 4;
        char kind = mark + 1 < at_end ? mark[1] : '\0';
        if (kind == '%') {
            luaL_addchar(out, '%');
        } else if (kind == '0') {
            luaL_addlstring(out, start, (size_t)(end - start));
        } else if (kind >= '1' && kind <= '9') {
            int i = kind - '1';
            if (i >= pattern->n_captures && i != 0)
                luaL_error(L, "invalid capture index %%%d in replacement string", i + 1);
            pattern_push_capture(pattern, i, start, end);
            luaL_tolstring(L, -1, NULL); /* a position is a number */
            lua_remove(L, -2);
            luaL_addvalue(out);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
        at = mark + 2;
    }
}

/* Adds what a match is replaced by. False if it stays as it is. */
static bool add_replacement(struct pattern *pattern, luaL_Buffer *out, int type, const char *start,
                            const char *end)
{
    lua_State *L = pattern->L;
    if (type != LUA_TFUNCTION && type != LUA_TTABLE) {
        add_filled(pattern, out, start, end);
        return true;
    }
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        int n = pattern_push_captures(pattern, start, end, /* whole= */ true);
        lua_call(L, n, 1);
    } else {
        pattern_push_capture(pattern, 0, start, end);
        lua_gettable(L, 3);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(out, start, (size_t)(end - start));
        return false;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(out);
    return true;
}

static int string_gsub(lua_State *L)
{
    size_t length, text_length;
    const char *subject = luaL_checklstring(L, 1, &length);
    const char *text = luaL_checklstring(L, 2, &text_length);
    int type = lua_type(L, 3);
    luaL_argexpected(L,
                     type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
                         type == LUA_TTABLE,
                     3, "string/function/table");
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)length + 1);
    if (type == LUA_TNUMBER)
        lua_tolstring(L, 3, NULL);
    bool is_anchored = *text == '^';
    lua_Integer n = 0;
    bool is_changed = false;
    const char *at = subject;
    const char *last_end = NULL;
    struct pattern pattern;
    luaL_Buffer out;
    pattern_init(&pattern, L, subject, length, text_length, text);
    luaL_buffinit(L, &out);
    while (n < most) {
        pattern.n_captures = 0;
        const char *end = pattern_match(&pattern, at, text + is_anchored);
        if (end && end != last_end) {
            n++;
            is_changed = add_replacement(&pattern, &out, type, at, end) || is_changed;
            at = last_end = end;
        } else if (at < pattern.subject_end) {
            luaL_addchar(&out, *at++);
        } else {
            break;
        }
        if (is_anchored)
            break;
    }
    pattern_charge(&pattern);
    if (!is_changed) {
        lua_pushvalue(L, 1);
    } else {
        luaL_addlstring(&out, at, (size_t)(pattern.subject_end - at));
        luaL_pushresult(&out);
    }
    lua_pushinteger(L, n);
    return 2;
}

void pattern_library_add(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"find", string_find}, {"gmatch", string_gmatch},
        {"gsub", string_gsub}, {"match", string_match},
        {NULL, NULL},
    };
    luaL_setfuncs(L, functions, 0);
}
