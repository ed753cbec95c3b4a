#include "json_lua.h"

#include "run.h"
#include "utf8.h"

#include <assert.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* A table that stands in many places is copied each time, so sizes are bounded on their own. */
    VALUES_MAX = 50000,
    STRING_BYTES_MAX = 16 << 20,
    TEXT_BYTES_MAX = 4 << 20,
    PATH_BYTES_MAX = 200,
};

/* The registry's key of the metatable that marks arrays. */
static const char array_mark = 'a';

void json_lua_push_null(lua_State *L)
{
    lua_pushlightuserdata(L, NULL);
}

static void push_array_metatable(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &array_mark) != LUA_TNIL)
        return;
    lua_pop(L, 1);
    lua_createtable(L, 0, 1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &array_mark);
}

static void push(lua_State *L, const json_t *value, int depth);

static void push_array(lua_State *L, const json_t *array, int depth)
{
    size_t n = json_array_size(array);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        push(L, json_array_get(array, i), depth + 1);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    push_array_metatable(L);
    lua_setmetatable(L, -2);
}

static void push_object(lua_State *L, const json_t *object, int depth)
{
    /* Jansson iterates over what it does not change, yet asks for a mutable object. */
    json_t *lent = (json_t *)object;
    lua_createtable(L, 0, (int)json_object_size(object));
    for (void *at = json_object_iter(lent); at; at = json_object_iter_next(lent, at)) {
        lua_pushlstring(L, json_object_iter_key(at), json_object_iter_key_len(at));
        push(L, json_object_iter_value(at), depth + 1);
        lua_rawset(L, -3);
    }
}

static void push(lua_State *L, const json_t *value, int depth)
{
    if (depth > JSON_DEPTH_MAX)
        luaL_error(L, "JSON nested deeper than %d", JSON_DEPTH_MAX);
    luaL_checkstack(L, 4, "JSON");
    switch (json_typeof(value)) {
    case JSON_OBJECT: push_object(L, value, depth); break;
    case JSON_ARRAY: push_array(L, value, depth); break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER: lua_pushinteger(L, json_integer_value(value)); break;
    case JSON_REAL: lua_pushnumber(L, json_real_value(value)); break;
    case JSON_TRUE: lua_pushboolean(L, 1); break;
    case JSON_FALSE: lua_pushboolean(L, 0); break;
    case JSON_NULL: json_lua_push_null(L); break;
    }
}

void json_lua_push(lua_State *L, const json_t *value)
{
    luaL_checkstack(L, 1, "JSON");
    if (!value || json_is_null(value))
        lua_pushnil(L);
    else
        push(L, value, 0);
}

/* Values are told apart by what precedes them; an empty array counts as one too many. */
static int count_values(const char *bytes, size_t n_bytes)
{
    int n_values = 1;
    bool in_string = false;
    for (size_t i = 0; i < n_bytes && n_values <= VALUES_MAX; i++) {
        if (bytes[i] == '"')
            in_string = !in_string;
        else if (in_string)
            i += bytes[i] == '\\';
        else
            n_values += bytes[i] == ',' || bytes[i] == '[' || bytes[i] == '{';
    }
    return n_values;
}

bool json_lua_parse(const char *what, const char *bytes, size_t n_bytes, json_t **out,
                    struct fault *fault)
{
    if (n_bytes > TEXT_BYTES_MAX)
        return fault_set(fault, FAULT_INVALID, "%s: JSON of over %d MiB", what,
                         TEXT_BYTES_MAX >> 20);
    if (count_values(bytes, n_bytes) > VALUES_MAX)
        return fault_set(fault, FAULT_INVALID, "%s: JSON of over %d values", what, VALUES_MAX);
    return json_read(what, bytes, n_bytes, out, fault);
}

/* Where a value stands: a chain from the innermost part to the whole. */
struct part {
    const struct part *outer;
    const void *table; /* the table it stands in; NULL for the whole */
    const char *key;   /* in an object */
    lua_Integer index; /* in an array */
};

struct reader {
    lua_State *L;
    const char *what;
    int n_values;
    size_t string_bytes;
    struct fault *fault;
};

static void add_path(const struct part *part, char *out, size_t out_bytes)
{
    if (!part->table)
        return;
    add_path(part->outer, out, out_bytes);
    size_t used = strlen(out);
    if (part->key)
        snprintf(out + used, out_bytes - used, ".%.60s", part->key);
    else
        snprintf(out + used, out_bytes - used, "[%lld]", (long long)part->index);
}

static json_t *refuse(struct reader *reader, const struct part *part, const char *reason)
{
    char path[PATH_BYTES_MAX];
    snprintf(path, sizeof path, "%.60s", reader->what);
    add_path(part, path, sizeof path);
    fault_set(reader->fault, FAULT_SCRIPT, "%s %s", path, reason);
    return NULL;
}

static json_t *no_memory(struct reader *reader)
{
    fault_no_memory(reader->fault);
    return NULL;
}

static json_t *read_value(struct reader *reader, int index, const struct part *part, int depth);

enum shape {
    SHAPE_ARRAY,
    SHAPE_OBJECT,
    SHAPE_BROKEN,
};

/* Looks at all keys. On SHAPE_BROKEN *reason says why. */
static enum shape shape_of(lua_State *L, int table, const char **reason)
{
    lua_Integer length = (lua_Integer)lua_rawlen(L, table);
    lua_Integer n_positions = 0;
    bool has_others = false, has_names = false, is_marked = false;
    lua_pushnil(L);
    /* A key that no JSON has ends it: with keys that collide each step of lua_next is slow. */
    while (!has_others && lua_next(L, table)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING)
            has_names = true;
        else if (lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 1 &&
                 lua_tointeger(L, -1) <= length)
            n_positions++;
        else
            has_others = true;
    }
    if (has_others)
        lua_pop(L, 1);
    if (lua_getmetatable(L, table)) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, &array_mark);
        is_marked = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    if (has_names && (n_positions || has_others || is_marked))
        *reason = "is an array with names among its keys";
    else if (has_others || n_positions != length)
        *reason = "has holes, or keys that are neither names nor 1..n";
    else if (n_positions || (is_marked && !has_names))
        return SHAPE_ARRAY;
    else
        return SHAPE_OBJECT;
    return SHAPE_BROKEN;
}

static json_t *read_array(struct reader *reader, int table, const struct part *part, int depth)
{
    lua_State *L = reader->L;
    json_t *array = json_array();
    if (!array)
        return no_memory(reader);
    lua_Integer n = (lua_Integer)lua_rawlen(L, table);
    for (lua_Integer i = 1; i <= n; i++) {
        struct part inner = {.outer = part, .table = lua_topointer(L, table), .index = i};
        lua_rawgeti(L, table, i);
        json_t *value = read_value(reader, lua_gettop(L), &inner, depth + 1);
        lua_pop(L, 1);
        if (!value) {
            json_decref(array);
            return NULL;
        }
        if (json_array_append_new(array, value) != 0) {
            json_decref(array);
            return no_memory(reader);
        }
    }
    return array;
}

static bool is_text(const char *bytes, size_t n_bytes)
{
    json_t *probe = json_stringn(bytes, n_bytes);
    json_decref(probe);
    return probe != NULL;
}

/* The value on top of the stack, under the key below it, goes into object. */
static bool read_member(struct reader *reader, json_t *object, int table, const struct part *part,
                        int depth)
{
    lua_State *L = reader->L;
    size_t key_length;
    int top = lua_gettop(L);
    const char *key = lua_tolstring(L, top - 1, &key_length);
    struct part inner = {.outer = part, .table = lua_topointer(L, table), .key = key};
    reader->string_bytes += key_length;
    if (strlen(key) != key_length || !is_text(key, key_length)) {
        refuse(reader, part, "has a name that is not UTF-8 text");
        return false;
    }
    json_t *value = read_value(reader, top, &inner, depth + 1);
    if (!value)
        return false;
    if (json_object_set_new_nocheck(object, key, value) != 0) {
        no_memory(reader);
        return false;
    }
    return true;
}

static json_t *read_object(struct reader *reader, int table, const struct part *part, int depth)
{
    lua_State *L = reader->L;
    json_t *object = json_object();
    if (!object)
        return no_memory(reader);
    lua_pushnil(L);
    while (lua_next(L, table)) {
        if (!read_member(reader, object, table, part, depth)) {
            lua_pop(L, 2);
            json_decref(object);
            return NULL;
        }
        lua_pop(L, 1);
    }
    return object;
}

static json_t *read_table(struct reader *reader, int index, const struct part *part, int depth)
{
    const char *reason = "";
    const void *self = lua_topointer(reader->L, index);
    for (const struct part *around = part; around; around = around->outer)
        if (around->table == self)
            return refuse(reader, part, "contains itself");
    if (depth >= JSON_DEPTH_MAX)
        return refuse(reader, part, "is nested too deeply");
    if (!lua_checkstack(reader->L, 6))
        return no_memory(reader);
    switch (shape_of(reader->L, index, &reason)) {
    case SHAPE_ARRAY: return read_array(reader, index, part, depth);
    case SHAPE_OBJECT: return read_object(reader, index, part, depth);
    case SHAPE_BROKEN: return refuse(reader, part, reason);
    }
    return NULL;
}

static json_t *read_number(struct reader *reader, int index, const struct part *part)
{
    json_t *number;
    if (lua_isinteger(reader->L, index)) {
        number = json_integer(lua_tointeger(reader->L, index));
    } else {
        double real = lua_tonumber(reader->L, index);
        if (!isfinite(real))
            return refuse(reader, part, "is not a finite number");
        number = json_real(real);
    }
    return number ? number : no_memory(reader);
}

static json_t *read_value(struct reader *reader, int index, const struct part *part, int depth)
{
    lua_State *L = reader->L;
    if (++reader->n_values > VALUES_MAX)
        return refuse(reader, part, "is one value too many");
    switch (lua_type(L, index)) {
    case LUA_TNIL: return json_null();
    case LUA_TBOOLEAN: return json_boolean(lua_toboolean(L, index));
    case LUA_TNUMBER: return read_number(reader, index, part);
    case LUA_TTABLE: return read_table(reader, index, part, depth);
    case LUA_TSTRING: {
        size_t length;
        const char *bytes = lua_tolstring(L, index, &length);
        reader->string_bytes += length;
        if (reader->string_bytes > STRING_BYTES_MAX)
            return refuse(reader, part, "is more text than fits");
        json_t *string = json_stringn(bytes, length);
        if (!string && utf8_prefix(bytes, length, length) == length)
            return no_memory(reader);
        return string ? string : refuse(reader, part, "is not UTF-8 text");
    }
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, index))
            return json_null();
        return refuse(reader, part, "cannot be JSON: it is a userdata");
    case LUA_TFUNCTION: return refuse(reader, part, "cannot be JSON: it is a function");
    default: return refuse(reader, part, "cannot be JSON");
    }
}

bool json_lua_read(lua_State *L, int index, const char *what, json_t **out, struct fault *fault)
{
    struct reader reader = {.L = L, .what = what, .fault = fault};
    const struct part whole = {0};
    if (!lua_checkstack(L, 6))
        return fault_no_memory(fault);
    int top = lua_gettop(L);
    json_t *value = read_value(&reader, lua_absindex(L, index), &whole, 0);
    assert(lua_gettop(L) == top);
    run_note(L, (int64_t)reader.n_values / 4 + (int64_t)(reader.string_bytes / 64));
    if (!value)
        return false;
    *out = value;
    return true;
}
