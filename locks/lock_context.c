#include "lock_context.h"

#include "lock_context_source.h"
#include "number_text.h"
#include "text.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    PLACE_BYTES = 48,
    NUMBER_BYTES = NUMBER_TEXT_BYTES,
    STACK_SLOTS = 8, /* two nested tables, a key and a value each */
    SOURCE_BYTES_MAX = 4 << 20,
};

/* The whole system is a light userdata, the address of this byte: equal to itself alone. */
static const char system_mark;

void lock_context_push_system(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)&system_mark);
}

static int refuse_write(lua_State *L)
{
    return luaL_error(L, "lock is read-only");
}

/* One table for all: nobody can change it. */
static void push_lock_table(lua_State *L)
{
    static const char made;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &made) != LUA_TNIL)
        return;
    lua_pop(L, 1);
    lua_newtable(L); /* what scripts see: empty, so that every write meets the metatable */
    lua_newtable(L);
    lua_newtable(L);
    lock_context_push_system(L);
    lua_setfield(L, -2, "system");
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &made);
}

bool lock_context_name(lua_State *L, const char *name)
{
    if (strcmp(name, LOCK_CONTEXT_SOURCE_ITEM) == 0)
        lua_pushcfunction(L, lock_context_source_item);
    else if (strcmp(name, "lock") == 0)
        push_lock_table(L);
    else
        return false;
    return true;
}

static bool name_source(lua_State *L, const char *name, void *arg)
{
    (void)arg;
    return lock_context_name(L, name);
}

void lock_context_offer(struct scope *scope)
{
    scope_set_source(scope, name_source, NULL);
}

bool lock_context_compile(struct sandbox *sandbox, const char *file, struct lua_source source,
                          struct expression **out, struct fault *fault)
{
    struct expression *as_written = NULL;
    struct text text;
    bool ok = false;
    text_init(&text, SOURCE_BYTES_MAX);
    /* What is wrong in it is told about the text as it was written. */
    if (!expression_compile(sandbox, file, "lock-context", source, &as_written, fault) ||
        !lock_context_source_add(source.text, &text, fault))
        goto done;
    source.text = text_chars(&text);
    ok = expression_compile(sandbox, file, "lock-context", source, out, fault);
done:
    expression_free(as_written);
    text_done(&text);
    return ok;
}

static bool is_system(lua_State *L, int index)
{
    return lua_islightuserdata(L, index) && lua_touserdata(L, index) == &system_mark;
}

static bool invalid_number(lua_Number number, const char *place, struct fault *fault)
{
    if (isnan(number))
        return fault_set(fault, FAULT_INVALID, "%s is not a number (NaN)", place);
    if (isinf(number))
        return fault_set(fault, FAULT_INVALID, "%s is infinite", place);
    if (number >= -0x1p63 && number < 0x1p63) /* a whole one would have been an integer */
        return fault_set(fault, FAULT_INVALID, "%s is %.14g, not a whole number", place, number);
    return fault_set(fault, FAULT_INVALID, "%s is %.14g, beyond 64-bit integers", place, number);
}

static bool invalid_type(lua_State *L, int index, const char *place, struct fault *fault)
{
    switch (lua_type(L, index)) {
    case LUA_TNIL: return fault_set(fault, FAULT_INVALID, "%s is nil", place);
    case LUA_TLIGHTUSERDATA:
        if (is_system(L, index))
            return fault_set(fault, FAULT_INVALID,
                             "%s is lock.system, which must be the whole value", place);
        return fault_set(fault, FAULT_INVALID, "%s is null", place);
    default: return fault_set(fault, FAULT_INVALID, "%s is a %s", place, luaL_typename(L, index));
    }
}

/* Reads a scalar into a segment; digits is where a number's text may be put. */
static bool read_segment(lua_State *L, int index, char digits[NUMBER_BYTES],
                         struct lock_segment *out)
{
    int is_whole = 0;
    switch (lua_type(L, index)) {
    case LUA_TSTRING: out->bytes = lua_tolstring(L, index, &out->n_bytes); return out->n_bytes > 0;
    case LUA_TNUMBER:
        out->n_bytes =
            (size_t)(number_text_int(digits, lua_tointegerx(L, index, &is_whole)) - digits);
        out->bytes = digits;
        return is_whole;
    case LUA_TBOOLEAN:
        out->bytes = lua_toboolean(L, index) ? "true" : "false";
        out->n_bytes = strlen(out->bytes);
        return true;
    default: return false;
    }
}

/* Why read_segment did not take it. */
static bool invalid_segment(lua_State *L, int index, const char *place, struct fault *fault)
{
    switch (lua_type(L, index)) {
    case LUA_TSTRING: return fault_set(fault, FAULT_INVALID, "%s is an empty string", place);
    case LUA_TNUMBER: return invalid_number(lua_tonumber(L, index), place, fault);
    default: return invalid_type(L, index, place, fault);
    }
}

/* What a table turned out to be. */
struct shape {
    int n_items;
    bool of_tables;
};

static bool invalid_key(lua_State *L, int index, const char *place, struct fault *fault)
{
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        return fault_set(fault, FAULT_INVALID, "%shas the key \"%.60s\", so it is not a list",
                         place, lua_tostring(L, index));
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            return fault_set(fault, FAULT_INVALID, "%shas the key %lld, so it is not a list", place,
                             (long long)lua_tointeger(L, index));
        return fault_set(fault, FAULT_INVALID, "%shas the key %.14g, so it is not a list", place,
                         lua_tonumber(L, index));
    default:
        return fault_set(fault, FAULT_INVALID, "%shas a key that is a %s, so it is not a list",
                         place, luaL_typename(L, index));
    }
}

/* Looks over all keys of the table on the stack's top: they must be 1..n, without a hole, and the
 * values all tables or none. It stops at the first key over the limit, so that a huge table costs
 * nothing. place is "the value " or "path 3 ", comma the same for a part of it. */
static bool read_shape(lua_State *L, bool outer, const char *place, const char *part,
                       struct shape *out, struct fault *fault)
{
    int table = lua_gettop(L);
    lua_Integer last = 0;
    int n_items = 0, n_tables = 0;
    lua_pushnil(L);
    while (n_items <= LOCK_SET_PATHS_MAX && lua_next(L, table)) {
        n_items++;
        n_tables += lua_istable(L, -1);
        lua_pop(L, 1);
        if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1) {
            invalid_key(L, -1, place, fault);
            lua_settop(L, table);
            return false;
        }
        if (lua_tointeger(L, -1) > last)
            last = lua_tointeger(L, -1);
    }
    lua_settop(L, table);
    bool of_tables = outer && n_tables > 0;
    const char *item = of_tables ? "path" : "segment";
    if (n_items == 0)
        return fault_set(fault, FAULT_INVALID, "%sis an empty table", place);
    if (n_items > (of_tables ? LOCK_SET_PATHS_MAX : LOCK_PATH_SEGMENTS_MAX))
        return fault_set(fault, FAULT_INVALID, "%shas more than %d %ss", place,
                         of_tables ? LOCK_SET_PATHS_MAX : LOCK_PATH_SEGMENTS_MAX, item);
    for (int i = 1; last > n_items; i++) {
        bool is_hole = lua_rawgeti(L, table, i) == LUA_TNIL;
        lua_pop(L, 1);
        if (is_hole)
            return fault_set(fault, FAULT_INVALID, "%s%s %d is nil", part, item, i);
    }
    *out = (struct shape){.n_items = n_items, .of_tables = of_tables};
    return true;
}

/* Reads the table on the stack's top as a path of n segments. part is "" or "path 3, ". */
static bool read_segments(lua_State *L, int n_segments, const char *part, struct lock_path **out,
                          struct fault *fault)
{
    int table = lua_gettop(L);
    struct lock_segment segments[LOCK_PATH_SEGMENTS_MAX];
    char digits[LOCK_PATH_SEGMENTS_MAX][NUMBER_BYTES];
    bool ok = true;
    for (int i = 0; i < n_segments && ok; i++) {
        lua_rawgeti(L, table, i + 1);
        ok = read_segment(L, -1, digits[i], &segments[i]);
        if (!ok) {
            char place[PLACE_BYTES];
            snprintf(place, sizeof place, "%ssegment %d", part, i + 1);
            invalid_segment(L, -1, place, fault);
        }
        lua_pop(L, 1); /* a string lives on in the table */
    }
    if (!ok)
        return false;
    if (lock_path_new(segments, n_segments, out, fault))
        return true;
    struct fault inner = *fault;
    return fault_set(fault, inner.kind, "%s%.400s", part, inner.text);
}

static bool read_paths(lua_State *L, int n_paths, struct lock_path **paths, int *n_read,
                       struct fault *fault)
{
    int table = lua_gettop(L);
    for (int i = 0; i < n_paths; i++) {
        char place[PLACE_BYTES], part[PLACE_BYTES];
        snprintf(place, sizeof place, "path %d ", i + 1);
        snprintf(part, sizeof part, "path %d, ", i + 1);
        lua_rawgeti(L, table, i + 1);
        if (is_system(L, -1))
            return invalid_type(L, -1, "one of several paths", fault);
        if (!lua_istable(L, -1))
            return fault_set(fault, FAULT_INVALID,
                             "item %d is a %s among paths: a path is a list, {\"message\", 42}",
                             i + 1, luaL_typename(L, -1));
        struct shape shape;
        if (!read_shape(L, false, place, part, &shape, fault) ||
            !read_segments(L, shape.n_items, part, &paths[*n_read], fault))
            return false;
        ++*n_read;
        lua_pop(L, 1);
    }
    return true;
}

static bool read_value(lua_State *L, struct lock_path **paths, int *n_read, struct fault *fault)
{
    if (is_system(L, -1)) {
        *n_read = lock_path_new(NULL, 0, &paths[0], fault);
        return *n_read == 1;
    }
    if (!lua_istable(L, -1)) {
        struct lock_segment segment;
        char digits[NUMBER_BYTES];
        if (!read_segment(L, -1, digits, &segment))
            return invalid_segment(L, -1, "the value", fault);
        *n_read = lock_path_new(&segment, 1, &paths[0], fault);
        return *n_read == 1;
    }
    struct shape shape;
    if (!read_shape(L, true, "the value ", "", &shape, fault))
        return false;
    if (shape.of_tables)
        return read_paths(L, shape.n_items, paths, n_read, fault);
    *n_read = read_segments(L, shape.n_items, "", &paths[0], fault);
    return *n_read == 1;
}

bool lock_context_read(lua_State *L, int index, const char *name_space, struct lock_set **out,
                       struct fault *fault)
{
    struct lock_path *paths[LOCK_SET_PATHS_MAX];
    int n_read = 0;
    int top = lua_gettop(L);
    if (!lua_checkstack(L, STACK_SLOTS))
        return fault_no_memory(fault);
    lua_pushvalue(L, index);
    bool ok =
        read_value(L, paths, &n_read, fault) && lock_set_new(paths, n_read, name_space, out, fault);
    lua_settop(L, top);
    for (int i = 0; i < n_read; i++)
        lock_path_free(paths[i]);
    return ok;
}
