/*
 * What a script asks of the database while it runs, alone in its transaction: its changes so far
 * are saved first, in the same pipeline, so that its statement sees them; after a statement of its
 * own, rows are loaded anew and the limits set again.
 *
 * Under a lease each request has a read-only transaction of its own, and nothing is saved before
 * the end: what is loaded stays as it is, and what would write at once is refused.
 */
#include "batch_lease.h"
#include "batch_state.h"
#include "clock.h"
#include "runtime_sql.h"
#include "runtime_state.h"
#include "task.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    SQL_BYTES_MAX = 1 << 20,
};

/* Where in the definition the request was made. */
static void add_place(const struct batch *batch, struct fault *fault)
{
    const char *place = script_request(batch->running->script)->place;
    if (*place)
        fault_prefix(fault, "%s", place);
}

/* A mistake in the script's request: the execution ends failed, like a raised error. */
static void refuse(struct batch *batch, struct fault *fault)
{
    add_place(batch, fault);
    member_drop_for_fault(batch->running, fault);
    batch_end_running(batch);
    batch_leave(batch);
}

static void go_on(struct batch *batch)
{
    if (batch->lease)
        batch_give_connection(batch);
    batch_run(batch);
}

static void send_request(struct batch *batch);

/* A statement that wants to write says what PostgreSQL says, and where writing belongs. */
static void explain_read_only(struct batch *batch, struct pg_answer *answer)
{
    if (batch->lease && strcmp(answer->fault.sqlstate, "25006") == 0)
        fault_prefix(&answer->fault, "an activity with a lease writes by its `data` when it ends");
}

/* ---- answers ---- */

static bool give_answer(struct batch *batch, const struct pg_answer *answer, struct fault *fault)
{
    struct member *member = batch->running;
    const struct script_request *request = script_request(member->script);
    struct row *row = NULL;
    switch (request->kind) {
    case REQUEST_SQL:
        return (batch->lease || script_rebind(member->script, fault)) &&
               script_answer_sql(member->script, answer->results[batch->at_ask], fault);
    case REQUEST_NEW:
        row =
            batch_rows_adopt(batch->rows, batch->ask_table, answer->results[batch->at_ask], fault);
        return row && script_answer_row(member->script, row, fault);
    case REQUEST_LOAD:
        if (batch_rows_n_found(batch->rows, batch->ask_slot) > 0)
            row = batch_rows_found(batch->rows, batch->ask_slot, 0);
        return script_answer_row(member->script, row, fault);
    case REQUEST_LIST: return script_answer_rows(member->script, batch->ask_slot, fault);
    case REQUEST_DELETE:
        script_row_at(member->script, 1)->row->state = ROW_DELETED;
        script_refresh(member->script);
        return script_answer_nothing(member->script, fault);
    case REQUEST_ACTION:
    case REQUEST_SLEEP:
    case REQUEST_TOKEN: break;
    }
    return script_answer_nothing(member->script, fault);
}

static void on_asked(struct pg_answer *answer, void *arg)
{
    struct batch *batch = arg;
    struct fault fault;
    if (batch->lease && answer->connection_lost) {
        batch_give_connection(batch); /* it only reads: again */
        batch_lease_fetch(batch, send_request);
        return;
    }
    if (answer->fault.kind || answer->connection_lost) {
        explain_read_only(batch, answer);
        if (answer->failed == batch->at_ask)
            add_place(batch, &answer->fault);
        batch_failed(batch, answer);
        return;
    }
    if (!batch_rows_saved(batch->rows, &fault) ||
        !batch_rows_read_loads(batch->rows, answer->results, &fault)) {
        refuse(batch, &fault);
        return;
    }
    if (!batch->lease)
        script_refresh(batch->running->script);
    if (give_answer(batch, answer, &fault))
        go_on(batch);
    else
        refuse(batch, &fault);
}

/* ---- requests ---- */

static bool begin_pipeline(struct batch *batch, struct fault *fault)
{
    if (batch->lease) {
        batch_lease_begin_request(batch);
        return true;
    }
    pg_pipeline_clear(batch->pipeline);
    batch_add_limits(batch);
    if (!script_settle(batch->running->script, fault) ||
        !batch_keep_changes(batch, batch->running, fault))
        return false;
    batch_rows_add_saves(batch->rows, batch->pipeline, /* last= */ false);
    return true;
}

static bool ask_sql(struct batch *batch, struct fault *fault)
{
    const struct script_request *request = script_request(batch->running->script);
    pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_RAW_BEFORE, 0, NULL);
    batch->at_ask = pg_pipeline_add(batch->pipeline, PG_UNNAMED, request->text, request->n_params,
                                    request->params);
    batch->ran_sql = true;
    if (batch->lease)
        return true;
    batch_add_plain(batch, "RESET ROLE"); /* a function of the application may have changed it */
    batch_add_limits(batch);
    pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_BATCH_AGAIN, 0, NULL);
    if (!batch_rows_forget(batch->rows, fault))
        return false;
    batch_rows_add_loads(batch->rows, batch->pipeline);
    return true;
}

/* Reads `column = value` pairs of the Lua table at index 2 of the arguments. */
struct fields {
    int columns[PG_PARAMS_MAX];
    const char *values[PG_PARAMS_MAX];
    int n;
};

static bool read_field(struct batch *batch, lua_State *L, struct fields *fields,
                       struct fault *fault)
{
    const struct table *table = batch->ask_table;
    struct cell cell;
    if (lua_type(L, -2) != LUA_TSTRING)
        return fault_set(fault, FAULT_SCRIPT, "fields are named by columns");
    const struct column *column = table_column(table, lua_tostring(L, -2));
    if (!column)
        return fault_set(fault, FAULT_INVALID, "table %s has no column '%s'", table->name,
                         lua_tostring(L, -2));
    if (fields->n == PG_PARAMS_MAX)
        return fault_set(fault, FAULT_SCRIPT, "more than %d columns", PG_PARAMS_MAX);
    if (!row_lua_to_cell(L, lua_gettop(L), column, &batch->region, &cell, fault))
        return false;
    char *buffer = region_take(&batch->region, CELL_BUFFER_BYTES);
    if (!buffer)
        return fault_no_memory(fault);
    fields->columns[fields->n] = (int)(column - table->columns);
    fields->values[fields->n++] = cell_write(&cell, buffer);
    return true;
}

static bool read_fields(struct batch *batch, int index, struct fields *fields, struct fault *fault)
{
    lua_State *L = script_arguments(batch->running->script);
    int top = lua_gettop(L);
    bool ok = true;
    fields->n = 0;
    if (lua_type(L, index) != LUA_TTABLE)
        return true;
    if (!lua_checkstack(L, 8))
        return fault_no_memory(fault);
    lua_pushnil(L);
    while (ok && lua_next(L, index)) {
        ok = read_field(batch, L, fields, fault);
        lua_pop(L, 1);
    }
    lua_settop(L, top);
    return ok;
}

/* What a list was asked by also holds for a row that is added to it. */
static bool add_list_fields(struct batch *batch, struct fields *fields, struct fault *fault)
{
    int slot = script_request(batch->running->script)->list_slot;
    for (int i = 0; slot >= 0 && i < batch_rows_n_columns(batch->rows, slot); i++) {
        bool given = false;
        for (int f = 0; f < fields->n; f++)
            given = given || fields->columns[f] == batch_rows_column(batch->rows, slot, i);
        if (given)
            continue;
        if (fields->n == PG_PARAMS_MAX)
            return fault_set(fault, FAULT_SCRIPT, "more than %d columns", PG_PARAMS_MAX);
        fields->columns[fields->n] = batch_rows_column(batch->rows, slot, i);
        fields->values[fields->n++] = batch_rows_value(batch->rows, slot, i);
    }
    return true;
}

static bool ask_new(struct batch *batch, struct fault *fault)
{
    const struct table *table = batch->ask_table;
    struct fields fields = {.n = 0};
    struct text sql;
    if (!read_fields(batch, 2, &fields, fault) || !add_list_fields(batch, &fields, fault))
        return false;
    text_init(&sql, SQL_BYTES_MAX);
    text_addf(&sql, "INSERT INTO %s ", table->quoted);
    for (int i = 0; i < fields.n; i++)
        text_addf(&sql, "%s%s", i ? ", " : "(", table->columns[fields.columns[i]].quoted);
    text_add_chars(&sql, fields.n ? ") VALUES (" : "DEFAULT VALUES");
    for (int i = 0; i < fields.n; i++)
        text_addf(&sql, "%s$%d", i ? ", " : "", i + 1);
    text_add_chars(&sql, fields.n ? ") RETURNING " : " RETURNING ");
    batch_rows_add_returning(table, &sql);
    if (table->writes_spread)
        pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_PLAN_OWN, 0, NULL);
    batch->at_ask =
        pg_pipeline_add(batch->pipeline, PG_PREPARED, text_chars(&sql), fields.n, fields.values);
    bool ok = text_ok(&sql, fault);
    text_done(&sql);
    return ok;
}

static bool want(struct batch *batch, const struct fields *fields, const char *order,
                 struct fault *fault)
{
    for (int i = 0; i < fields->n; i++)
        if (!fields->values[i])
            return fault_set(fault, FAULT_SCRIPT, "column %s is asked for by nil",
                             batch->ask_table->columns[fields->columns[i]].name);
    batch->ask_slot = batch_rows_want(batch->rows, batch->ask_table, fields->columns, fields->n,
                                      fields->values, order, fault);
    if (batch->ask_slot < 0)
        return false;
    batch_rows_ask_anew(batch->rows, batch->ask_slot); /* what the script wrote may answer it now */
    batch_rows_add_loads(batch->rows, batch->pipeline);
    return true;
}

static bool ask_load(struct batch *batch, struct fault *fault)
{
    struct fields fields = {.n = 0};
    if (!read_fields(batch, 2, &fields, fault))
        return false;
    if (!table_is_key(batch->ask_table, fields.columns, fields.n))
        return fault_set(fault, FAULT_INVALID,
                         "objects.load: the key matches no unique index of table %s",
                         batch->ask_table->name);
    return want(batch, &fields, "", fault);
}

/* "column" or "column desc", several separated by commas. */
static bool read_order(const struct table *table, const char *said, struct text *sql,
                       struct fault *fault)
{
    char name[64], direction[8];
    int n_read = 0, n_parts = 0;
    while (*said) {
        direction[0] = '\0';
        int n = sscanf(said, " %63[^ ,] %7[a-zA-Z]%n", name, direction, &n_read);
        if (n == 1)
            n = sscanf(said, " %63[^ ,]%n", name, &n_read) > 0;
        const struct column *column = n > 0 ? table_column(table, name) : NULL;
        bool down = strcasecmp(direction, "desc") == 0;
        if (!column || (direction[0] && !down && strcasecmp(direction, "asc") != 0))
            return fault_set(fault, FAULT_INVALID, "order_by: '%.80s' is no column of table %s",
                             said, table->name);
        text_addf(sql, "%st.%s%s", n_parts++ ? ", " : "", column->quoted, down ? " DESC" : "");
        said += n_read;
        said += strspn(said, " ");
        if (*said && *said++ != ',')
            return fault_set(fault, FAULT_INVALID, "order_by: a comma is missing");
    }
    return true;
}

static bool ask_list(struct batch *batch, struct fault *fault)
{
    lua_State *L = script_arguments(batch->running->script);
    struct fields fields = {.n = 0};
    struct text order;
    text_init(&order, SQL_BYTES_MAX);
    if (!lua_checkstack(L, 4))
        return fault_no_memory(fault);
    lua_pushstring(L, "order_by");
    bool ok = lua_rawget(L, 2) != LUA_TSTRING ||
              read_order(batch->ask_table, lua_tostring(L, -1), &order, fault);
    lua_pop(L, 1);
    lua_pushstring(L, "where");
    lua_rawget(L, 2);
    ok = ok && read_fields(batch, lua_gettop(L), &fields, fault);
    lua_pop(L, 1);
    ok = ok && want(batch, &fields, text_chars(&order), fault);
    text_done(&order);
    return ok;
}

static bool ask_delete(struct batch *batch, struct fault *fault)
{
    struct row_change *change = script_row_at(batch->running->script, 1);
    const struct activity *activity = execution_activity(batch->running->execution);
    if (!change || change->row->state != ROW_FOUND)
        return fault_set(fault, FAULT_SCRIPT, "objects.delete: the row is gone already");
    enum version_check check =
        activity->on_conflict == ON_CONFLICT_OVERWRITE ? VERSION_IGNORED : VERSION_CHECKED;
    return batch_rows_add_delete(batch->rows, change->row, check, batch->pipeline, fault);
}

static bool add_request(struct batch *batch, struct fault *fault)
{
    switch (script_request(batch->running->script)->kind) {
    case REQUEST_SQL: return ask_sql(batch, fault);
    case REQUEST_NEW: return ask_new(batch, fault);
    case REQUEST_LOAD: return ask_load(batch, fault);
    case REQUEST_LIST: return ask_list(batch, fault);
    case REQUEST_DELETE: return ask_delete(batch, fault);
    case REQUEST_ACTION:
    case REQUEST_SLEEP:
    case REQUEST_TOKEN: break;
    }
    return true;
}

static void send_request(struct batch *batch)
{
    struct fault fault;
    if (!begin_pipeline(batch, &fault) || !add_request(batch, &fault) ||
        !batch_rows_ok(batch->rows, &fault)) {
        refuse(batch, &fault);
        return;
    }
    if (batch->lease)
        batch_add_end(batch, "ROLLBACK"); /* it has only read */
    int64_t left_us = batch->deadline_us - clock_monotonic_us();
    batch_enter(batch, BATCH_ASKING);
    batch_send(batch, (left_us > 0 ? left_us : 0) + BATCH_GRACE_US, on_asked);
}

/* ---- tables that the definition did not declare ---- */

static void on_table(struct pg_answer *answer, void *arg)
{
    struct batch *batch = arg;
    struct runtime *runtime = batch->runtime;
    struct fault fault;
    const struct script_request *request = script_request(batch->running->script);
    if (batch->lease && answer->connection_lost) {
        batch_give_connection(batch);
        batch_lease_fetch(batch, batch_ask);
    } else if (answer->fault.kind || answer->connection_lost) {
        batch_failed(batch, answer);
    } else if (!catalogue_learn(runtime->catalogue, request->text, runtime->schema,
                                answer->results[0], &batch->ask_table, &fault)) {
        refuse(batch, &fault);
    } else {
        send_request(batch);
    }
}

static void ask_about_table(struct batch *batch, const char *name)
{
    batch->ask_table = catalogue_find(batch->runtime->catalogue, name);
    if (batch->ask_table) {
        send_request(batch);
        return;
    }
    pg_pipeline_clear(batch->pipeline);
    catalogue_ask(batch->pipeline, name);
    batch_enter(batch, BATCH_ASKING);
    batch_send(batch, batch->waiting_us + BATCH_GRACE_US, on_table);
}

static void sleep_for(struct batch *batch, double seconds)
{
    struct fault fault;
    int64_t now_us = clock_monotonic_us();
    int64_t wake_us = now_us + (int64_t)(seconds * 1e6);
    batch->wake_us = wake_us < batch->deadline_us ? wake_us : batch->deadline_us;
    struct timeval pause = clock_timeval_us(batch->wake_us - now_us);
    if (script_answer_nothing(batch->running->script, &fault))
        event_add(batch->timer, &pause);
    else
        refuse(batch, &fault);
}

static bool writes_at_once(enum request_kind kind)
{
    return kind == REQUEST_NEW || kind == REQUEST_DELETE;
}

static void refuse_to_write(struct batch *batch)
{
    struct fault fault;
    fault_set(&fault, FAULT_SCRIPT,
              "an activity with a lease adds and deletes no rows: it changes those of its `data`, "
              "when it ends; let the next activity do the rest");
    refuse(batch, &fault);
}

void batch_ask(struct batch *batch)
{
    const struct script_request *request = script_request(batch->running->script);
    bool sleeps = request->kind == REQUEST_SLEEP || request->kind == REQUEST_ACTION;
    if (batch->lease && writes_at_once(request->kind)) {
        refuse_to_write(batch);
        return;
    }
    if (!batch->conn && !sleeps) {
        batch_lease_fetch(batch, batch_ask);
        return;
    }
    switch (request->kind) {
    case REQUEST_ACTION: batch_act(batch); return;
    case REQUEST_SLEEP: sleep_for(batch, request->seconds); return;
    case REQUEST_SQL:
    case REQUEST_DELETE: send_request(batch); return;
    case REQUEST_NEW:
    case REQUEST_LOAD:
    case REQUEST_LIST: ask_about_table(batch, request->text); return;
    case REQUEST_TOKEN: return; /* it starts anew with a lease: see batch.c */
    }
}
