#include "row_desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>

const struct column row_desk_columns[N_COLUMNS] = {
    [ID] = {.name = "id", .type_name = "integer", .kind = COLUMN_INT4, .not_null = true},
    [SMALL] = {.name = "small", .type_name = "smallint", .kind = COLUMN_INT2},
    [BIG] = {.name = "big", .type_name = "bigint", .kind = COLUMN_INT8},
    [RATIO] = {.name = "ratio", .type_name = "double precision", .kind = COLUMN_FLOAT8},
    [SINGLE] = {.name = "single", .type_name = "real", .kind = COLUMN_FLOAT4},
    [DONE] = {.name = "done", .type_name = "boolean", .kind = COLUMN_BOOLEAN},
    [TITLE] = {.name = "title", .type_name = "text", .kind = COLUMN_TEXT},
    [PRICE] = {.name = "price", .type_name = "numeric(10,2)", .kind = COLUMN_NUMERIC},
    [DOC] = {.name = "doc", .type_name = "jsonb", .kind = COLUMN_JSON},
    [SENT_AT] = {.name = "sent_at", .type_name = "timestamptz", .kind = COLUMN_TIMESTAMP},
    [RANGE] = {.name = "range", .type_name = "int4range", .kind = COLUMN_OTHER},
    [TOTAL] = {.name = "total", .type_name = "integer", .kind = COLUMN_INT4, .generated = true},
};

static const char *const loaded[N_COLUMNS] = {
    [ID] = "7",
    [SMALL] = "3",
    [BIG] = NULL,
    [RATIO] = "0.5",
    [SINGLE] = "0.1",
    [DONE] = "f",
    [TITLE] = "hello",
    [PRICE] = "12.50",
    [DOC] = "{\"a\": 1, \"tags\": [\"x\"]}",
    [SENT_AT] = "2026-01-02 03:04:05.678+00",
    [RANGE] = "[1,5)",
    [TOTAL] = "10",
};

void row_desk_load(struct row_desk *d, int column, const char *text)
{
    struct fault fault;
    assert_true(cell_read(&d->region, &row_desk_columns[column], text, text ? strlen(text) : 0,
                          &d->cells[column], &fault));
}

void row_desk_push(struct row_desk *d)
{
    row_lua_push(d->L, &d->binding);
    lua_setglobal(d->L, "row");
}

void row_desk_prepare(struct row_desk *d)
{
    region_init(&d->region, 1 << 22);
    d->table = (struct table){
        .name = "message", .columns = (struct column *)row_desk_columns, .n_columns = N_COLUMNS};
    d->row = (struct row){.table = &d->table, .cells = d->cells};
    d->change = (struct row_change){.row = &d->row};
    d->binding =
        (struct row_binding){.change = &d->change, .region = &d->region, .name = "data.message"};
    for (int i = 0; i < N_COLUMNS; i++)
        row_desk_load(d, i, loaded[i]);
}

void row_desk_open(struct row_desk *d)
{
    struct sandbox_limits limits = sandbox_default_limits();
    struct fault fault;
    assert_true(sandbox_new(&limits, &d->sandbox, &fault));
    d->L = sandbox_lua(d->sandbox);
    luaL_openlibs(d->L);
    row_lua_open(d->L);
}

int row_desk_set_up(void **state)
{
    struct row_desk *d = calloc(1, sizeof *d);
    if (!d)
        return -1;
    row_desk_prepare(d);
    row_desk_open(d);
    row_desk_push(d);
    *state = d;
    return 0;
}

int row_desk_tear_down(void **state)
{
    struct row_desk *d = *state;
    sandbox_free(d->sandbox);
    region_done(&d->region);
    free(d);
    return 0;
}

void row_desk_run(struct row_desk *d, const char *script)
{
    if (luaL_loadbuffer(d->L, script, strlen(script), "=script") != LUA_OK ||
        lua_pcall(d->L, 0, 0, 0) != LUA_OK)
        fail_msg("%s: %s", script, lua_tostring(d->L, -1));
    assert_int_equal(lua_gettop(d->L), 0);
}

void row_desk_fails(struct row_desk *d, const char *script, const char *message)
{
    char expected[512];
    snprintf(expected, sizeof expected, "script:1: %s", message);
    assert_int_equal(luaL_loadbuffer(d->L, script, strlen(script), "=script"), LUA_OK);
    if (lua_pcall(d->L, 0, 0, 0) == LUA_OK)
        fail_msg("%s raised nothing", script);
    assert_string_equal(lua_tostring(d->L, -1), expected);
    lua_pop(d->L, 1);
}

static int settle_protected(lua_State *L)
{
    row_lua_settle(L, 1);
    return 0;
}

bool row_desk_settle(struct row_desk *d)
{
    lua_pushcfunction(d->L, settle_protected);
    lua_getglobal(d->L, "row");
    return lua_pcall(d->L, 1, 0, 0) == LUA_OK;
}

void row_desk_holds(struct row_desk *d, int column, const char *text)
{
    char buffer[CELL_BUFFER_BYTES];
    const char *written = cell_write(row_change_get(&d->change, column), buffer);
    if (text)
        assert_string_equal(written, text);
    else
        assert_null(written);
}
