/* Single values between cells and Lua. The userdata is in row_lua.c. */
#include "row_lua.h"

#include "decimal.h"
#include "json_lua.h"
#include "utf8.h"

#include <float.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- cell to Lua ---- */

enum {
    ISO_BYTES = 64,
};

static bool digits_at(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return true;
}

/* "+05", "+05:30" or "+00:53:28" to "Z" or at least hours and minutes. */
static bool iso_offset(const char *offset, char *out, size_t out_bytes)
{
    if ((*offset != '+' && *offset != '-') || !digits_at(offset + 1, 2))
        return false;
    const char *rest = offset + 3;
    for (const char *part = rest; *part; part += 3)
        if (*part != ':' || !digits_at(part + 1, 2))
            return false;
    if (strspn(offset + 1, "0:") == strlen(offset + 1))
        snprintf(out, out_bytes, "Z");
    else
        snprintf(out, out_bytes, "%s%s", offset, *rest ? "" : ":00");
    return true;
}

/* PostgreSQL's "2026-01-02 03:04:05.678+00" in ISO 8601. False for every other text: a date, a
 * time, infinity, a year before Christ, and what a script has assigned in a form of its own. */
static bool iso_timestamp(const char *text, size_t n_bytes, char out[ISO_BYTES])
{
    if (n_bytes >= ISO_BYTES - 8)
        return false;
    size_t year = strspn(text, "0123456789");
    const char *rest = text + year;
    if (year < 4 || rest[0] != '-' || !digits_at(rest + 1, 2) || rest[3] != '-' ||
        !digits_at(rest + 4, 2) || rest[6] != ' ')
        return false;
    const char *time = rest + 7;
    if (!digits_at(time, 2) || time[2] != ':' || !digits_at(time + 3, 2) || time[5] != ':' ||
        !digits_at(time + 6, 2))
        return false;
    const char *zone = time + 8;
    if (*zone == '.')
        zone += 1 + strspn(zone + 1, "0123456789");
    size_t length = (size_t)(zone - text);
    memcpy(out, text, length);
    out[rest + 6 - text] = 'T';
    out[length] = '\0';
    return *zone == '\0' || iso_offset(zone, out + length, ISO_BYTES - length);
}

static void push_timestamp(lua_State *L, const struct cell *cell)
{
    char iso[ISO_BYTES];
    if (iso_timestamp(cell->text.bytes, cell->text.n_bytes, iso))
        lua_pushstring(L, iso);
    else
        lua_pushlstring(L, cell->text.bytes, cell->text.n_bytes);
}

static void push_numeric(lua_State *L, const struct cell *cell)
{
    int64_t integer;
    double number;
    switch (decimal_read(cell->text.bytes, &integer, &number)) {
    case DECIMAL_FITS_INTEGER: lua_pushinteger(L, integer); break;
    case DECIMAL_FITS_FLOAT: lua_pushnumber(L, number); break;
    case DECIMAL_FITS_NEITHER: lua_pushlstring(L, cell->text.bytes, cell->text.n_bytes); break;
    }
}

/* Owns a JSON value while Lua calls that may raise stand between its making and its end. */
static const char json_holder_type[] = "latchkey.json_holder";

static int json_holder_gc(lua_State *L)
{
    json_t **held = lua_touserdata(L, 1);
    json_decref(*held);
    *held = NULL;
    return 0;
}

static json_t **push_json_holder(lua_State *L)
{
    json_t **held = lua_newuserdatauv(L, sizeof(json_t *), 0);
    *held = NULL;
    if (luaL_getmetatable(L, json_holder_type) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_createtable(L, 0, 1);
        lua_pushcfunction(L, json_holder_gc);
        lua_setfield(L, -2, "__gc");
        /* Registered when it is whole: each step before may raise. */
        lua_pushvalue(L, -1);
        lua_setfield(L, LUA_REGISTRYINDEX, json_holder_type);
    }
    lua_setmetatable(L, -2);
    return held;
}

void row_lua_push_json(lua_State *L, const char *name, const struct column *column,
                       const struct cell *cell)
{
    struct fault fault;
    json_t **held = push_json_holder(L);
    if (!json_lua_parse(column->name, cell->text.bytes, cell->text.n_bytes, held, &fault))
        luaL_error(L, "%s%scolumn %s", name, *name ? ": " : "", fault.text);
    json_lua_push(L, *held);
    json_decref(*held);
    *held = NULL;
    lua_remove(L, -2);
}

static void push_text(lua_State *L, const struct column *column, const struct cell *cell)
{
    switch (column->kind) {
    case COLUMN_NUMERIC: push_numeric(L, cell); return;
    case COLUMN_JSON: row_lua_push_json(L, "", column, cell); return;
    case COLUMN_TIMESTAMP: push_timestamp(L, cell); return;
    case COLUMN_INT2:
    case COLUMN_INT4:
    case COLUMN_INT8:
    case COLUMN_FLOAT4:
    case COLUMN_FLOAT8:
    case COLUMN_BOOLEAN:
    case COLUMN_TEXT:
    case COLUMN_OTHER: break;
    }
    lua_pushlstring(L, cell->text.bytes, cell->text.n_bytes);
}

void row_lua_push_cell(lua_State *L, const struct column *column, const struct cell *cell)
{
    luaL_checkstack(L, 6, "too many values");
    switch (cell->kind) {
    case CELL_NULL: lua_pushnil(L); break;
    case CELL_INTEGER: lua_pushinteger(L, cell->integer); break;
    case CELL_NUMBER: lua_pushnumber(L, cell->number); break;
    case CELL_BOOLEAN: lua_pushboolean(L, cell->boolean); break;
    case CELL_TEXT: push_text(L, column, cell); break;
    }
}

/* ---- Lua to cell ---- */

static const char *kind_words(const struct column *column)
{
    switch (column->kind) {
    case COLUMN_INT2:
    case COLUMN_INT4:
    case COLUMN_INT8: return "an integer";
    case COLUMN_FLOAT4:
    case COLUMN_FLOAT8:
    case COLUMN_NUMERIC: return "a number";
    case COLUMN_BOOLEAN: return "a boolean";
    case COLUMN_TIMESTAMP: return "a time in a string";
    case COLUMN_JSON: return "JSON";
    case COLUMN_TEXT:
    case COLUMN_OTHER: break;
    }
    return "a string";
}

/* "column read is an integer, got string \"x\"". The value is cut: a fault holds one sentence. */
static bool wrong_value(lua_State *L, int index, const struct column *column, struct fault *fault)
{
    enum {
        SHOWN_BYTES = 40,
    };
    const char *kind = kind_words(column);
    int type = lua_type(L, index);
    if (type == LUA_TSTRING) {
        size_t n_bytes;
        const char *bytes = lua_tolstring(L, index, &n_bytes);
        size_t shown = utf8_prefix(bytes, n_bytes, SHOWN_BYTES);
        return fault_set(fault, FAULT_SCRIPT, "column %s is %s, got string \"%.*s\"%s",
                         column->name, kind, (int)shown, bytes, shown < n_bytes ? "..." : "");
    }
    if (type == LUA_TBOOLEAN)
        return fault_set(fault, FAULT_SCRIPT, "column %s is %s, got boolean %s", column->name, kind,
                         lua_toboolean(L, index) ? "true" : "false");
    if (type == LUA_TNUMBER && lua_isinteger(L, index))
        return fault_set(fault, FAULT_SCRIPT, "column %s is %s, got integer %lld", column->name,
                         kind, (long long)lua_tointeger(L, index));
    if (type == LUA_TNUMBER && isnan(lua_tonumber(L, index)))
        return fault_set(fault, FAULT_SCRIPT, "column %s is %s, got nan", column->name, kind);
    if (type == LUA_TNUMBER)
        return fault_set(fault, FAULT_SCRIPT, "column %s is %s, got number %.14g", column->name,
                         kind, lua_tonumber(L, index));
    return fault_set(fault, FAULT_SCRIPT, "column %s is %s, got a %s", column->name, kind,
                     lua_typename(L, type));
}

static bool to_integer(lua_State *L, int index, const struct column *column, int64_t least,
                       int64_t most, struct cell *out, struct fault *fault)
{
    int exact = 0;
    int64_t value = 0;
    /* Lua would also take a string of digits. */
    if (lua_type(L, index) == LUA_TNUMBER)
        value = lua_tointegerx(L, index, &exact);
    if (!exact)
        return wrong_value(L, index, column, fault);
    if (value < least || value > most)
        return fault_set(fault, FAULT_SCRIPT, "column %s: %lld is out of range for %s",
                         column->name, (long long)value, column->type_name);
    *out = (struct cell){.kind = CELL_INTEGER, .integer = value};
    return true;
}

/* The double that the shortest text of a float4 stands for, since that is what a load gives. */
static double as_float4(float value)
{
    char shortest[DECIMAL_BUFFER_BYTES];
    for (int digits = FLT_DIG; digits <= FLT_DECIMAL_DIG; digits++) {
        snprintf(shortest, sizeof shortest, "%.*g", digits, (double)value);
        if (strtof(shortest, NULL) == value)
            break;
    }
    return strtod(shortest, NULL);
}

static bool to_number(lua_State *L, int index, const struct column *column, struct cell *out,
                      struct fault *fault)
{
    if (lua_type(L, index) != LUA_TNUMBER)
        return wrong_value(L, index, column, fault);
    double value = lua_tonumber(L, index);
    if (column->kind == COLUMN_FLOAT4 && isfinite(value) && value != 0) {
        float narrow = (float)value;
        if (isinf(narrow) || narrow == 0)
            return fault_set(fault, FAULT_SCRIPT, "column %s: %.14g is out of range for %s",
                             column->name, value, column->type_name);
        value = as_float4(narrow);
    }
    *out = (struct cell){.kind = CELL_NUMBER, .number = value};
    return true;
}

static bool to_boolean(lua_State *L, int index, const struct column *column, struct cell *out,
                       struct fault *fault)
{
    if (!lua_isboolean(L, index))
        return wrong_value(L, index, column, fault);
    *out = (struct cell){.kind = CELL_BOOLEAN, .boolean = lua_toboolean(L, index)};
    return true;
}

static bool to_numeric(lua_State *L, int index, const struct column *column, struct region *region,
                       struct cell *out, struct fault *fault)
{
    int type = lua_type(L, index);
    if (type == LUA_TSTRING) {
        size_t n_bytes;
        const char *bytes = lua_tolstring(L, index, &n_bytes);
        if (!decimal_valid(bytes, n_bytes))
            return wrong_value(L, index, column, fault);
        return cell_text(region, bytes, n_bytes, out, fault);
    }
    if (type != LUA_TNUMBER)
        return wrong_value(L, index, column, fault);
    char buffer[CELL_BUFFER_BYTES];
    struct cell number = {.kind = CELL_NUMBER, .number = lua_tonumber(L, index)};
    if (lua_isinteger(L, index))
        number = (struct cell){.kind = CELL_INTEGER, .integer = lua_tointeger(L, index)};
    const char *written = cell_write(&number, buffer);
    return cell_text(region, written, strlen(written), out, fault);
}

static bool to_json(lua_State *L, int index, const struct column *column, struct region *region,
                    struct cell *out, struct fault *fault)
{
    json_t *value = NULL;
    if (!json_lua_read(L, index, column->name, &value, fault))
        return false;
    char *written = json_write(value);
    json_decref(value);
    if (!written)
        return fault_no_memory(fault);
    bool done = cell_text(region, written, strlen(written), out, fault);
    free(written);
    return done;
}

static bool to_text(lua_State *L, int index, const struct column *column, struct region *region,
                    struct cell *out, struct fault *fault)
{
    if (lua_type(L, index) != LUA_TSTRING)
        return wrong_value(L, index, column, fault);
    size_t n_bytes;
    const char *bytes = lua_tolstring(L, index, &n_bytes);
    if (memchr(bytes, '\0', n_bytes))
        return fault_set(fault, FAULT_SCRIPT, "column %s: a string may not contain a zero byte",
                         column->name);
    size_t n_good = utf8_prefix(bytes, n_bytes, n_bytes);
    if (n_good < n_bytes)
        return fault_set(fault, FAULT_SCRIPT, "column %s: the string is not UTF-8 at byte %zu",
                         column->name, n_good + 1);
    return cell_text(region, bytes, n_bytes, out, fault);
}

bool row_lua_to_cell(lua_State *L, int index, const struct column *column, struct region *region,
                     struct cell *out, struct fault *fault)
{
    if (lua_isnoneornil(L, index)) {
        if (column->not_null)
            return fault_set(fault, FAULT_SCRIPT, "column %s may not be null, got nil",
                             column->name);
        *out = (struct cell){.kind = CELL_NULL};
        return true;
    }
    switch (column->kind) {
    case COLUMN_INT2: return to_integer(L, index, column, INT16_MIN, INT16_MAX, out, fault);
    case COLUMN_INT4: return to_integer(L, index, column, INT32_MIN, INT32_MAX, out, fault);
    case COLUMN_INT8: return to_integer(L, index, column, INT64_MIN, INT64_MAX, out, fault);
    case COLUMN_FLOAT4:
    case COLUMN_FLOAT8: return to_number(L, index, column, out, fault);
    case COLUMN_BOOLEAN: return to_boolean(L, index, column, out, fault);
    case COLUMN_NUMERIC: return to_numeric(L, index, column, region, out, fault);
    case COLUMN_JSON: return to_json(L, index, column, region, out, fault);
    case COLUMN_TEXT:
    case COLUMN_TIMESTAMP:
    case COLUMN_OTHER: break;
    }
    return to_text(L, index, column, region, out, fault);
}
