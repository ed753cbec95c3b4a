/* Answers become the results of the Lua function that asked. */
#include "script_private.h"

#include "runtime_state.h"
#include "task.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Object identifiers of built-in types never change: src/include/catalog/pg_type.dat. */
    OID_BOOL = 16,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_JSON = 114,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_DATE = 1082,
    OID_TIME = 1083,
    OID_TIMESTAMP = 1114,
    OID_TIMESTAMPTZ = 1184,
    OID_NUMERIC = 1700,
    OID_JSONB = 3802,
};

static enum column_kind kind_of(Oid type)
{
    switch (type) {
    case OID_BOOL: return COLUMN_BOOLEAN;
    case OID_INT8: return COLUMN_INT8;
    case OID_INT2: return COLUMN_INT2;
    case OID_INT4: return COLUMN_INT4;
    case OID_JSON:
    case OID_JSONB: return COLUMN_JSON;
    case OID_FLOAT4: return COLUMN_FLOAT4;
    case OID_FLOAT8: return COLUMN_FLOAT8;
    case OID_DATE:
    case OID_TIME:
    case OID_TIMESTAMP:
    case OID_TIMESTAMPTZ: return COLUMN_TIMESTAMP;
    case OID_NUMERIC: return COLUMN_NUMERIC;
    default: return COLUMN_OTHER;
    }
}

/* The values that the asking function yielded go; n_results new ones come from L's top. */
static void hand_over(struct script *script, lua_State *L, int n_results)
{
    lua_State *thread = task_lua(script->task);
    lua_pop(thread, task_n_values(script->task));
    if (!lua_checkstack(thread, n_results + 1))
        luaL_error(L, "the script's stack is full");
    lua_xmove(L, thread, n_results);
    script->n_results = n_results;
}

/* What the script is given counts as its own memory. */
static bool answer(struct script *script, script_body_fn *body, void *arg, struct fault *fault)
{
    const struct sandbox *sandbox = script->execution->runtime->sandbox;
    int64_t before = (int64_t)sandbox_bytes(sandbox);
    bool ok = script_protect(script, body, arg, fault);
    task_count_bytes(script->task, (int64_t)sandbox_bytes(sandbox) - before);
    return ok;
}

static void answer_nothing(struct script *script, lua_State *L, void *arg)
{
    (void)arg;
    hand_over(script, L, 0);
}

bool script_answer_nothing(struct script *script, struct fault *fault)
{
    return answer(script, answer_nothing, NULL, fault);
}

static void push_value(struct script *script, lua_State *L, const PGresult *result, int row,
                       int field)
{
    struct fault fault;
    struct cell cell;
    struct column column = {.name = PQfname(result, field),
                            .kind = kind_of(PQftype(result, field))};
    const char *text = PQgetisnull(result, row, field) ? NULL : PQgetvalue(result, row, field);
    if (!cell_read(script->region, &column, text, (size_t)PQgetlength(result, row, field), &cell,
                   &fault))
        luaL_error(L, "%s", fault.text);
    row_lua_push_cell(L, &column, &cell);
}

static void answer_sql(struct script *script, lua_State *L, void *arg)
{
    const PGresult *result = arg;
    int n_rows = PQntuples(result), n_fields = PQnfields(result);
    lua_createtable(L, n_rows, 0);
    for (int row = 0; row < n_rows; row++) {
        lua_createtable(L, 0, n_fields);
        for (int field = 0; field < n_fields; field++) {
            push_value(script, L, result, row, field);
            lua_setfield(L, -2, PQfname(result, field));
        }
        lua_rawseti(L, -2, row + 1);
    }
    lua_pushinteger(L, atoll(PQcmdTuples((PGresult *)result)));
    hand_over(script, L, 2);
}

bool script_answer_sql(struct script *script, const PGresult *result, struct fault *fault)
{
    return answer(script, answer_sql, (void *)result, fault);
}

/* A row that came by list:add joins its list, which is the function's first argument. */
static void join_list(struct script *script, lua_State *L)
{
    lua_State *thread = task_lua(script->task);
    if (script->request.list_slot < 0 || lua_type(thread, 1) != LUA_TTABLE)
        return;
    lua_pushvalue(thread, 1);
    lua_xmove(thread, L, 1);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
}

static void answer_row(struct script *script, lua_State *L, void *arg)
{
    struct row *row = arg;
    if (row) {
        script_push_row(script, L, row, -1, script->request.text);
        join_list(script, L);
    } else {
        lua_pushnil(L);
    }
    hand_over(script, L, 1);
}

bool script_answer_row(struct script *script, struct row *row, struct fault *fault)
{
    return answer(script, answer_row, row, fault);
}

static void answer_rows(struct script *script, lua_State *L, void *arg)
{
    int slot = *(const int *)arg;
    int n_found = batch_rows_n_found(script->rows, slot);
    lua_createtable(L, n_found, 0);
    for (int i = 0; i < n_found; i++) {
        script_push_row(script, L, batch_rows_found(script->rows, slot, i), slot,
                        script->request.text);
        lua_rawseti(L, -2, i + 1);
    }
    hand_over(script, L, 1);
}

bool script_answer_rows(struct script *script, int slot, struct fault *fault)
{
    return answer(script, answer_rows, &slot, fault);
}

struct row_change *script_row_at(struct script *script, int index)
{
    struct row_binding *binding = row_lua_binding(task_lua(script->task), index);
    return binding ? binding->change : NULL;
}
