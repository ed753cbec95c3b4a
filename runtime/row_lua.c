/*
 * The userdata: one pointer to the binding, NULL once detached, and two user values,
 *   KEPT     the tables of json columns that a script has seen or assigned, by column number;
 *   NUMBERS  column numbers by name, found so far: one Lua table for each struct table, shared.
 * Scripts reach the metamethods only through rows, since the metatable is locked: what they are
 * called with is not checked again.
 */
#include "row_lua.h"

#include "decimal.h"
#include "json_lua.h"
#include "utf8.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEPT = 1,
    NUMBERS = 2,
    NAME_BYTES_MAX = 63, /* of a column */
};

static const char row_type[] = "latchkey.row";
static const char numbers_key[] = "latchkey.row_numbers";

static const char gone[] = "the row is gone: its transaction has ended or it was deleted";

static struct row_binding *live_binding(lua_State *L, int index)
{
    struct row_binding **held = lua_touserdata(L, index);
    if (!*held || (*held)->dead)
        luaL_error(L, "%s", gone);
    return *held;
}

/* ---- columns by name ---- */

/* Optimal string alignment distance, or a number above 2 if it is above 2. */
static int typing_distance(const char *a, int n_a, const char *b, int n_b)
{
    enum {
        FAR = 3,
    };
    int rows[3][NAME_BYTES_MAX + 1];
    if (n_a > NAME_BYTES_MAX || n_b > NAME_BYTES_MAX || abs(n_a - n_b) >= FAR)
        return FAR;
    for (int i = 0; i <= n_a; i++) {
        int *row = rows[i % 3];
        const int *above = rows[(i + 2) % 3];
        const int *above2 = rows[(i + 1) % 3];
        int least = FAR;
        for (int j = 0; j <= n_b; j++) {
            int best = i == 0 ? j : j == 0 ? i : above[j - 1] + (a[i - 1] != b[j - 1]);
            if (i > 0 && j > 0) {
                best = above[j] + 1 < best ? above[j] + 1 : best;
                best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            }
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            row[j] = best;
            least = best < least ? best : least;
        }
        if (least >= FAR)
            return FAR;
    }
    return rows[n_a % 3][n_b];
}

static const char *nearest_column(const struct table *table, const char *name, size_t n_bytes)
{
    const char *nearest = NULL;
    int distance = n_bytes < 4 ? 2 : 3; /* to be beaten */
    for (int i = 0; i < table->n_columns; i++) {
        const char *other = table->columns[i].name;
        int found = typing_distance(name, (int)n_bytes, other, (int)strlen(other));
        if (found < distance) {
            distance = found;
            nearest = other;
        }
    }
    return nearest;
}

static int raise_no_column(lua_State *L, const struct row_binding *binding, int key)
{
    if (lua_type(L, key) != LUA_TSTRING)
        return luaL_error(L, "a column of %s is named by a string, not by a %s", binding->name,
                          luaL_typename(L, key));
    size_t n_bytes;
    const char *name = lua_tolstring(L, key, &n_bytes);
    /* The name may be anything that a script can make; it must not spoil the message. */
    if (n_bytes > NAME_BYTES_MAX || utf8_prefix(name, n_bytes, n_bytes) < n_bytes)
        return luaL_error(L, "%s has no column of that name", binding->name);
    const char *nearest = nearest_column(binding->change->row->table, name, n_bytes);
    if (nearest)
        return luaL_error(L, "%s has no column '%s'; did you mean '%s'?", binding->name, name,
                          nearest);
    return luaL_error(L, "%s has no column '%s'", binding->name, name);
}

/* The number of the column that the string at key names. The shared table of numbers may be of an
 * older table whose memory is used again, so what it says is only a hint. */
static int find_column(lua_State *L, const struct row_binding *binding, int row, int key)
{
    const struct table *table = binding->change->row->table;
    size_t n_bytes;
    if (lua_type(L, key) != LUA_TSTRING)
        return raise_no_column(L, binding, key);
    const char *name = lua_tolstring(L, key, &n_bytes);
    lua_getiuservalue(L, row, NUMBERS);
    lua_pushvalue(L, key);
    if (lua_rawget(L, -2) == LUA_TNUMBER) {
        lua_Integer hint = lua_tointeger(L, -1);
        if (hint < table->n_columns && strcmp(table->columns[hint].name, name) == 0) {
            lua_pop(L, 2);
            return (int)hint;
        }
    }
    for (int i = 0; i < table->n_columns; i++) {
        if (strcmp(table->columns[i].name, name) == 0 && strlen(name) == n_bytes) {
            lua_pushvalue(L, key);
            lua_pushinteger(L, i);
            lua_rawset(L, -4);
            lua_pop(L, 2);
            return i;
        }
    }
    return raise_no_column(L, binding, key);
}

/* ---- json columns ---- */

/* Pushes the table of kept json tables, made when it is first needed. */
static void push_kept(lua_State *L, int row)
{
    if (lua_getiuservalue(L, row, KEPT) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, row, KEPT);
}

/* Beside a column's table stands the text it was made of: when the cell has got another one by
 * another way, the table is out of date. */
static lua_Integer source_of(int column)
{
    return -1 - (lua_Integer)column;
}

static const void *text_of(const struct row_binding *binding, int column)
{
    const struct cell *cell = row_change_get(binding->change, column);
    return cell->kind == CELL_TEXT ? cell->text.bytes : NULL;
}

/* With the kept tables on top of the stack: is the column's one that of the present cell? */
static bool is_kept(lua_State *L, const struct row_binding *binding, int column)
{
    const void *text = text_of(binding, column);
    bool kept = lua_rawgeti(L, -1, source_of(column)) == LUA_TLIGHTUSERDATA && text &&
                lua_touserdata(L, -1) == text;
    lua_pop(L, 1);
    return kept;
}

/* Makes keep_json unable to fail: an assignment is done as a whole or not at all. */
static void reserve_json(lua_State *L, int row, int column)
{
    push_kept(L, row);
    const lua_Integer keys[] = {column, source_of(column)};
    for (int i = 0; i < 2; i++) {
        if (lua_rawgeti(L, -1, keys[i]) == LUA_TNIL) {
            lua_pushboolean(L, false);
            lua_rawseti(L, -3, keys[i]);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* Remembers the value at index as the column's table, if it is a table. */
static void keep_json(lua_State *L, const struct row_binding *binding, int row, int column,
                      int index)
{
    bool is_table = lua_istable(L, index);
    const void *text = is_table ? text_of(binding, column) : NULL;
    lua_getiuservalue(L, row, KEPT);
    if (is_table)
        lua_pushvalue(L, index);
    else
        lua_pushboolean(L, false);
    lua_rawseti(L, -2, column);
    lua_pushlightuserdata(L, (void *)text);
    lua_rawseti(L, -2, source_of(column));
    lua_pop(L, 1);
}

/* Pushes a json column's value: the same table each time, so that changes inside it last. */
static void push_json_column(lua_State *L, const struct row_binding *binding, int row, int column)
{
    const struct table *table = binding->change->row->table;
    if (!binding->read_only) {
        push_kept(L, row);
        if (is_kept(L, binding, column)) {
            lua_rawgeti(L, -1, column);
            lua_remove(L, -2);
            return;
        }
        lua_pop(L, 1);
    }
    const struct cell *cell = row_change_get(binding->change, column);
    if (cell->kind == CELL_TEXT)
        row_lua_push_json(L, binding->name, &table->columns[column], cell);
    else
        row_lua_push_cell(L, &table->columns[column], cell);
    if (!binding->read_only) {
        reserve_json(L, row, column);
        keep_json(L, binding, row, column, lua_gettop(L));
    }
}

/* ---- reading ---- */

static void push_column(lua_State *L, const struct row_binding *binding, int row, int column)
{
    const struct column *described = &binding->change->row->table->columns[column];
    if (described->kind == COLUMN_JSON)
        push_json_column(L, binding, row, column);
    else
        row_lua_push_cell(L, described, row_change_get(binding->change, column));
}

static int row_index(lua_State *L)
{
    struct row_binding *binding = live_binding(L, 1);
    push_column(L, binding, 1, find_column(L, binding, 1, 2));
    return 1;
}

/* The row and the next column's number are upvalues. */
static int row_next(lua_State *L)
{
    int row = lua_upvalueindex(1);
    struct row_binding *binding = live_binding(L, row);
    const struct table *table = binding->change->row->table;
    lua_Integer column = lua_tointeger(L, lua_upvalueindex(2));
    if (column >= table->n_columns)
        return 0;
    lua_pushinteger(L, column + 1);
    lua_replace(L, lua_upvalueindex(2));
    lua_pushstring(L, table->columns[column].name);
    push_column(L, binding, row, (int)column);
    return 2;
}

static int row_pairs(lua_State *L)
{
    live_binding(L, 1);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, row_next, 2);
    return 1;
}

static int row_tostring(lua_State *L)
{
    struct row_binding **held = lua_touserdata(L, 1);
    if (*held && !(*held)->dead)
        lua_pushfstring(L, "row of %s", (*held)->change->row->table->name);
    else
        lua_pushliteral(L, "row that is gone");
    return 1;
}

/* ---- assigning ---- */

static bool same_json(const struct cell *a, const struct cell *b)
{
    struct fault ignored;
    json_t *x = NULL;
    json_t *y = NULL;
    bool same = json_lua_parse("", a->text.bytes, a->text.n_bytes, &x, &ignored) &&
                json_lua_parse("", b->text.bytes, b->text.n_bytes, &y, &ignored) &&
                json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

static bool same_timestamp(lua_State *L, const struct column *column, const struct cell *a,
                           const struct cell *b)
{
    row_lua_push_cell(L, column, a);
    row_lua_push_cell(L, column, b);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

/* True if both are the same value in two spellings, as the database may have one of its own. */
static bool same_value(lua_State *L, const struct column *column, const struct cell *a,
                       const struct cell *b)
{
    if (cell_equal(a, b))
        return true;
    if (a->kind != CELL_TEXT || b->kind != CELL_TEXT)
        return false;
    switch (column->kind) {
    case COLUMN_NUMERIC: return decimal_same(a->text.bytes, b->text.bytes);
    case COLUMN_JSON: return same_json(a, b);
    case COLUMN_TIMESTAMP: return same_timestamp(L, column, a, b);
    case COLUMN_INT2:
    case COLUMN_INT4:
    case COLUMN_INT8:
    case COLUMN_FLOAT4:
    case COLUMN_FLOAT8:
    case COLUMN_BOOLEAN:
    case COLUMN_TEXT:
    case COLUMN_OTHER: break;
    }
    return false;
}

/* Assigns the value at index. What only spells the row's own value anew takes that back: a script
 * that writes what it has read changes nothing. */
static bool assign(lua_State *L, const struct row_binding *binding, int column, int index,
                   struct fault *fault)
{
    struct row_change *change = binding->change;
    const struct column *described = &change->row->table->columns[column];
    const struct cell *own = &change->row->cells[column];
    struct cell cell;
    if (!row_lua_to_cell(L, index, described, binding->region, &cell, fault))
        return false;
    if (same_value(L, described, own, &cell))
        cell = *own;
    return row_change_set(change, binding->region, column, &cell, fault);
}

static int row_newindex(lua_State *L)
{
    struct row_binding *binding = live_binding(L, 1);
    if (binding->read_only)
        return luaL_error(L, "a guard or rule cannot change data");
    int column = find_column(L, binding, 1, 2);
    const struct column *described = &binding->change->row->table->columns[column];
    if (described->generated)
        return luaL_error(L, "%s: column %s is generated by the database, it cannot be assigned",
                          binding->name, described->name);
    struct fault fault;
    if (described->kind == COLUMN_JSON)
        reserve_json(L, 1, column);
    if (!assign(L, binding, column, 3, &fault))
        return luaL_error(L, "%s: %s", binding->name, fault.text);
    if (described->kind == COLUMN_JSON)
        keep_json(L, binding, 1, column, 3);
    return 0;
}

static bool holds_json(const struct row_binding *binding, int column, const json_t *value)
{
    const struct cell *cell = row_change_get(binding->change, column);
    struct fault ignored;
    json_t *held = NULL;
    bool same = json_read("", cell->text.bytes, cell->text.n_bytes, &held, &ignored) &&
                json_equal(held, value);
    json_decref(held);
    return same;
}

/* Moves the kept table at index into the change, if it is another value by now. */
static bool settle_column(lua_State *L, const struct row_binding *binding, int row, int column,
                          int index, struct fault *fault)
{
    json_t *value = NULL;
    const char *name = binding->change->row->table->columns[column].name;
    if (!json_lua_read(L, index, name, &value, fault))
        return false;
    bool same = holds_json(binding, column, value);
    json_decref(value);
    if (same)
        return true;
    if (!assign(L, binding, column, index, fault))
        return false;
    keep_json(L, binding, row, column, index);
    return true;
}

void row_lua_settle(lua_State *L, int index)
{
    struct row_binding *binding = row_lua_binding(L, index);
    if (!binding || binding->dead || binding->read_only)
        return;
    luaL_checkstack(L, 10, "too many values");
    int row = lua_absindex(L, index);
    if (lua_getiuservalue(L, row, KEPT) == LUA_TTABLE) {
        const struct table *table = binding->change->row->table;
        int kept = lua_gettop(L);
        struct fault fault;
        for (int column = 0; column < table->n_columns; column++) {
            if (table->columns[column].kind != COLUMN_JSON || !is_kept(L, binding, column))
                continue;
            lua_rawgeti(L, kept, column);
            if (!settle_column(L, binding, row, column, kept + 1, &fault))
                luaL_error(L, "%s: %s", binding->name, fault.text);
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
}

/* ---- life ---- */

void row_lua_open(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"__index", row_index}, {"__newindex", row_newindex},
        {"__pairs", row_pairs}, {"__tostring", row_tostring},
        {NULL, NULL},
    };
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, numbers_key);
    luaL_newmetatable(L, row_type);
    luaL_setfuncs(L, methods, 0);
    lua_pushliteral(L, "row");
    lua_setfield(L, -2, "__metatable");
    lua_pushliteral(L, "row");
    lua_setfield(L, -2, "__name");
    lua_pop(L, 1);
}

/* Pushes the column numbers of the table that are known so far. */
static void push_numbers(lua_State *L, const struct table *table)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, numbers_key);
    if (lua_rawgetp(L, -1, table) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, -3, table);
    }
    lua_remove(L, -2);
}

void row_lua_push(lua_State *L, struct row_binding *binding)
{
    luaL_checkstack(L, 6, "too many values");
    struct row_binding **held = lua_newuserdatauv(L, sizeof *held, NUMBERS);
    *held = binding;
    push_numbers(L, binding->change->row->table);
    lua_setiuservalue(L, -2, NUMBERS);
    luaL_setmetatable(L, row_type);
}

void row_lua_detach(lua_State *L, int index)
{
    struct row_binding **held = luaL_testudata(L, index, row_type);
    if (held)
        *held = NULL;
}

struct row_binding *row_lua_binding(lua_State *L, int index)
{
    struct row_binding **held = luaL_testudata(L, index, row_type);
    return held ? *held : NULL;
}
