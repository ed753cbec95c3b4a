/*
 * What scripts call: sql, sleep, fail, log, now, uuid, objects. Those that need the database only
 * check their arguments, note the request and yield; pcall in the script sees nothing of it.
 */
#include "script_private.h"

#include "clock.h"
#include "json_lua.h"
#include "runtime_state.h"
#include "sql_check.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLEEP_SECONDS_MAX = 24 * 3600,
    SQL_BYTES_MAX = 1 << 20,
    LOG_LINES_MAX = 1000,
    LOG_LINE_BYTES_MAX = 1500,
    EVENTS_MAX = 1000,
    EVENT_NAME_BYTES_MAX = 63,
};

static struct script *script_of(lua_State *L)
{
    struct task *task = task_of(L);
    if (!task)
        luaL_error(L, "only a script may call this");
    return task_host(task);
}

/* A copy that lives as long as the transaction. */
static const char *keep(lua_State *L, struct script *script, const char *bytes, size_t n_bytes)
{
    char *copy = region_copy(script->region, bytes, n_bytes);
    if (!copy)
        luaL_error(L, "too much memory for one transaction");
    return copy;
}

/* Where the script stands, "FILE:LINE". */
static const char *place(lua_State *L, struct script *script)
{
    size_t n_bytes;
    luaL_where(L, 1); /* "FILE:LINE: " */
    const char *where = lua_tolstring(L, -1, &n_bytes);
    const char *kept = n_bytes > 2 ? keep(L, script, where, n_bytes - 2) : "";
    lua_pop(L, 1);
    return kept;
}

static int ask(lua_State *L, struct script *script, enum request_kind kind, const char *text)
{
    script->request.place = place(L, script);
    script->request.kind = kind;
    script->request.text = text;
    script->request.list_slot = -1;
    script->asks = true;
    return lua_yield(L, lua_gettop(L));
}

/* ---- sql ---- */

static const char *param_text(lua_State *L, struct script *script, int index)
{
    char number[CELL_BUFFER_BYTES];
    struct cell cell;
    size_t n_bytes;
    switch (lua_type(L, index)) {
    case LUA_TNIL: return NULL;
    case LUA_TBOOLEAN: return lua_toboolean(L, index) ? "t" : "f";
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            cell = (struct cell){.kind = CELL_INTEGER, .integer = lua_tointeger(L, index)};
        else
            cell = (struct cell){.kind = CELL_NUMBER, .number = lua_tonumber(L, index)};
        const char *text = cell_write(&cell, number);
        return keep(L, script, text, strlen(text));
    case LUA_TSTRING: {
        const char *bytes = lua_tolstring(L, index, &n_bytes);
        luaL_argcheck(L, strlen(bytes) == n_bytes, index, "a string with a zero byte");
        return keep(L, script, bytes, n_bytes);
    }
    default: break;
    }
    luaL_argerror(L, index, "a parameter is nil, a boolean, a number or a string");
    return NULL;
}

/* sql(text, ...) -> rows, affected. Yields until the rows are in. */
static int script_sql(lua_State *L)
{
    struct script *script = script_of(L);
    struct fault fault;
    size_t n_bytes;
    const char *text = luaL_checklstring(L, 1, &n_bytes);
    int n_params = lua_gettop(L) - 1;
    luaL_argcheck(L, n_bytes <= SQL_BYTES_MAX, 1, "a statement of over 1 MiB");
    luaL_argcheck(L, n_params <= PG_PARAMS_MAX, 2, "too many parameters");
    if (!sql_check(text, n_bytes, script->execution->runtime->schema, &fault))
        luaL_error(L, "sql: %s", fault.text);
    for (int i = 0; i < n_params; i++)
        script->request.params[i] = param_text(L, script, i + 2);
    script->request.n_params = n_params;
    return ask(L, script, REQUEST_SQL, keep(L, script, text, n_bytes));
}

/* ---- time, words ---- */

/* sleep(seconds), fractions allowed. The lock is held meanwhile. */
static int script_sleep(lua_State *L)
{
    struct script *script = script_of(L);
    double seconds = luaL_checknumber(L, 1);
    luaL_argcheck(L, seconds >= 0 && seconds <= SLEEP_SECONDS_MAX, 1, "seconds from 0 to 86400");
    script->request.seconds = seconds;
    return ask(L, script, REQUEST_SLEEP, NULL);
}

/* fail(reason): the activity ends failed and keeps nothing; pcall does not see it. */
static int script_fail_now(lua_State *L)
{
    struct script *script = script_of(L);
    const char *reason = luaL_optstring(L, 1, "the script called fail()");
    script->gave_up = true;
    fault_set(&script->failure, FAULT_SCRIPT, "%s", reason);
    return lua_yield(L, 0);
}

static int script_now(lua_State *L)
{
    lua_pushnumber(L, (double)clock_wall_us() / 1e6);
    return 1;
}

static int script_uuid(lua_State *L)
{
    char id[UUID_TEXT_BYTES];
    uuid_draw(&script_of(L)->execution->runtime->uuids, id);
    lua_pushstring(L, id);
    return 1;
}

/* The text of a table as JSON, kept with the transaction. */
static const char *payload_text(lua_State *L, struct script *script, int index)
{
    json_t *value = NULL;
    struct fault fault;
    if (lua_isnoneornil(L, index))
        return "{}";
    if (!json_lua_read(L, index, "payload", &value, &fault))
        luaL_error(L, "emit: %s", fault.text);
    bool is_empty = json_is_array(value) && json_array_size(value) == 0;
    bool fits = (json_is_object(value) && !json_has_zero(value)) || is_empty;
    char *json = !fits ? NULL : is_empty ? strdup("{}") : json_write(value);
    json_decref(value);
    if (!json)
        luaL_error(L, fits ? "out of memory"
                           : "emit: the payload is a table of names and values, without U+0000");
    const char *kept = region_copy(script->region, json, strlen(json));
    free(json);
    if (!kept)
        luaL_error(L, "too much memory for one transaction");
    return kept;
}

static bool is_event_name(const char *name, size_t n_bytes)
{
    size_t n_good = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return n_bytes >= 1 && n_bytes <= EVENT_NAME_BYTES_MAX && n_good == n_bytes && *name >= 'a' &&
           *name <= 'z';
}

/* emit(name, payload): when the changes are committed, the workflows start whose triggers name it,
 * with the payload as their input. */
static int script_emit(lua_State *L)
{
    struct script *script = script_of(L);
    size_t n_bytes;
    const char *name = luaL_checklstring(L, 1, &n_bytes);
    luaL_argcheck(L, is_event_name(name, n_bytes), 1,
                  "the name of an event: [a-z][a-z0-9_-]{0,62}");
    if (script->n_events++ >= EVENTS_MAX)
        return luaL_error(L, "more than %d events in one run", EVENTS_MAX);
    struct script_event *event = region_take(script->region, sizeof *event);
    if (!event)
        return luaL_error(L, "too much memory for one transaction");
    event->name = keep(L, script, name, n_bytes);
    event->payload = payload_text(L, script, 2);
    *script->events_end = event;
    script->events_end = &event->next;
    return 0;
}

static int add_log(lua_State *L, enum log_level level)
{
    struct script *script = script_of(L);
    size_t n_bytes;
    const char *text = luaL_tolstring(L, 1, &n_bytes);
    if (script->n_log++ >= LOG_LINES_MAX)
        return luaL_error(L, "more than %d log lines in one run", LOG_LINES_MAX);
    struct log_entry *entry = region_take(script->region, sizeof *entry);
    if (!entry)
        return luaL_error(L, "too much memory for one transaction");
    entry->level = (int)level;
    entry->text =
        keep(L, script, text, n_bytes < LOG_LINE_BYTES_MAX ? n_bytes : LOG_LINE_BYTES_MAX);
    *script->log_end = entry;
    script->log_end = &entry->next;
    return 0;
}

static int script_log_info(lua_State *L)
{
    return add_log(L, LOG_LEVEL_INFO);
}

static int script_log_warn(lua_State *L)
{
    return add_log(L, LOG_LEVEL_WARNING);
}

static int script_log_error(lua_State *L)
{
    return add_log(L, LOG_LEVEL_ERROR);
}

/* ---- objects ---- */

static int ask_table(lua_State *L, enum request_kind kind)
{
    struct script *script = script_of(L);
    size_t n_bytes;
    const char *table = luaL_checklstring(L, 1, &n_bytes);
    luaL_argcheck(L, *table && strlen(table) == n_bytes, 1, "the name of a table");
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    return ask(L, script, kind, keep(L, script, table, n_bytes));
}

static int objects_new(lua_State *L)
{
    return ask_table(L, REQUEST_NEW);
}

static int objects_load(lua_State *L)
{
    return ask_table(L, REQUEST_LOAD);
}

/* A misspelt option would list the whole table. */
static void check_list_options(lua_State *L)
{
    lua_pushnil(L);
    while (lua_next(L, 2)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        if (strcmp(name, "where") == 0)
            luaL_argcheck(L, lua_istable(L, -1), 2, "where is a table: {column = value}");
        else if (strcmp(name, "order_by") == 0)
            luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 2,
                          "order_by is a text: \"column desc\"");
        else
            luaL_argerror(L, 2, "the options are where and order_by");
        lua_pop(L, 1);
    }
}

static int objects_list(lua_State *L)
{
    if (lua_gettop(L) == 1)
        lua_newtable(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    check_list_options(L);
    return ask_table(L, REQUEST_LIST);
}

/* lock.token is a field while a lease is held. Without one the script starts anew and has one: nil
 * would be taken for a fence by who asks for it. */
static int ask_for_token(lua_State *L)
{
    const char *name = lua_tostring(L, 2);
    if (!name || strcmp(name, "token") != 0) {
        lua_pushnil(L);
        return 1;
    }
    struct script *script = script_of(L);
    if (!execution_activity(script->execution)->exclusive_lock)
        return luaL_error(L, "lock.token: the activity takes no lock");
    return ask(L, script, REQUEST_TOKEN, NULL);
}

void script_functions_lock(lua_State *L)
{
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, ask_for_token);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

static int objects_delete(lua_State *L)
{
    struct script *script = script_of(L);
    luaL_argcheck(L, row_lua_binding(L, 1), 1, "a row");
    lua_settop(L, 1);
    return ask(L, script, REQUEST_DELETE, NULL);
}

/* ---- lists: data.NAME of a declaration with `list: true` ---- */

/* list:add(fields) -> row. Upvalues: the list's slot, its table's name. */
static int list_add(lua_State *L)
{
    struct script *script = script_of(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    script->request.place = place(L, script);
    script->request.kind = REQUEST_NEW;
    script->request.text = lua_tostring(L, lua_upvalueindex(2));
    script->request.list_slot = (int)lua_tointeger(L, lua_upvalueindex(1));
    script->asks = true;
    return lua_yield(L, 2);
}

/* list:remove(row): deletes it and closes the gap. */
static int list_remove(lua_State *L)
{
    lua_Integer n, i;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argcheck(L, row_lua_binding(L, 2), 2, "a row of this list");
    n = (lua_Integer)lua_rawlen(L, 1);
    for (i = 1; i <= n; i++) {
        lua_rawgeti(L, 1, i);
        bool same = lua_rawequal(L, -1, 2);
        lua_pop(L, 1);
        if (same)
            break;
    }
    luaL_argcheck(L, i <= n, 2, "a row of this list");
    for (; i <= n; i++) {
        lua_rawgeti(L, 1, i + 1);
        lua_rawseti(L, 1, i);
    }
    lua_remove(L, 1);
    lua_settop(L, 1);
    return ask(L, script_of(L), REQUEST_DELETE, NULL);
}

void script_functions_list(lua_State *L, int slot, const char *table)
{
    static const luaL_Reg methods[] = {{"add", list_add}, {"remove", list_remove}, {NULL, NULL}};
    lua_createtable(L, 0, 2);
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, slot);
    lua_pushstring(L, table);
    luaL_setfuncs(L, methods, 2);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

int script_functions_open(lua_State *L)
{
    static const luaL_Reg globals[] = {
        {"sql", script_sql}, {"sleep", script_sleep}, {"fail", script_fail_now},
        {"now", script_now}, {"uuid", script_uuid},   {"emit", script_emit},
        {NULL, NULL},
    };
    static const luaL_Reg log[] = {
        {"info", script_log_info},
        {"warn", script_log_warn},
        {"error", script_log_error},
        {NULL, NULL},
    };
    static const luaL_Reg objects[] = {
        {"new", objects_new},       {"load", objects_load}, {"list", objects_list},
        {"delete", objects_delete}, {NULL, NULL},
    };
    luaL_setfuncs(L, globals, 0);
    luaL_newlib(L, log);
    sandbox_seal(L);
    lua_setfield(L, -2, "log");
    luaL_newlib(L, objects);
    sandbox_seal(L);
    lua_setfield(L, -2, "objects");
    row_lua_open(L);
    return 0;
}
