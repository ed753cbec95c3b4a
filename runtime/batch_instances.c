#include "batch_instances.h"

#include "pg_array.h"
#include "pg_column.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_BYTES_MAX = 64 << 20,
    REASON_BYTES_MAX = 1000,
    INSERT_COLUMNS = 11,
    UPDATE_COLUMNS = 8,
    DELETE_COLUMNS = 2,
};

enum instance_column {
    READ_ID,
    READ_STATE_VERSION,
    READ_STATUS,
    READ_ACTIVITY,
    READ_WAIT_FOR,
    READ_PROCESS,
};

/* ---- reading ---- */

int batch_instances_add_read(struct batch *batch)
{
    struct text ids;
    int n = 0;
    text_init(&ids, ROWS_BYTES_MAX);
    pg_array_begin(&ids);
    for (struct member *member = batch->members; member; member = member->next) {
        if (member->fate != FATE_OPEN || !member->execution->instance.stored)
            continue;
        pg_array_add(&ids, member->execution->id);
        n++;
    }
    pg_array_end(&ids);
    const char *params[] = {text_chars(&ids)};
    int at = n == 0 ? NO_STATEMENT
                    : pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_INSTANCE_READ, 1, params);
    text_done(&ids);
    return at;
}

static const char *column(const PGresult *rows, int row, enum instance_column name)
{
    return PQgetisnull(rows, row, (int)name) ? NULL : PQgetvalue(rows, row, (int)name);
}

static void compare(struct member *member, const PGresult *rows, int row)
{
    struct execution *execution = member->execution;
    struct text reason;
    if (strtoll(column(rows, row, READ_STATE_VERSION), NULL, 10) ==
        execution->instance.state_version)
        return;
    text_init(&reason, REASON_BYTES_MAX);
    text_add_chars(&reason, execution->instance.owned ? "the instance was taken over: "
                                                      : "the instance has changed meanwhile: ");
    instance_add_state(&reason, column(rows, row, READ_STATUS), column(rows, row, READ_ACTIVITY),
                       column(rows, row, READ_WAIT_FOR), column(rows, row, READ_PROCESS));
    execution->overtaken = true;
    member_drop(member, STATUS_BLOCKED, text_chars(&reason));
    text_done(&reason);
}

void batch_instances_read(struct batch *batch, const PGresult *rows)
{
    for (struct member *member = batch->members; member; member = member->next) {
        if (member->fate != FATE_OPEN || !member->execution->instance.stored)
            continue;
        int row = 0;
        while (row < PQntuples(rows) &&
               strcmp(PQgetvalue(rows, row, READ_ID), member->execution->id) != 0)
            row++;
        if (row < PQntuples(rows)) {
            compare(member, rows, row);
        } else {
            member->execution->overtaken = true;
            member_drop(member, STATUS_MISSING, "the instance does not exist any more");
        }
    }
}

/* ---- writing ---- */

/* As sql/instance_insert.sql has them. */
static const enum pg_column_kind insert_kinds[INSERT_COLUMNS] = {
    PG_COLUMN_EACH,     /* id */
    PG_COLUMN_COMMON,   /* workflow */
    PG_COLUMN_COMMON,   /* version */
    PG_COLUMN_COMMON,   /* activity */
    PG_COLUMN_COMMON,   /* status */
    PG_COLUMN_NULLABLE, /* wait_for */
    PG_COLUMN_COMMON,   /* input */
    PG_COLUMN_NULLABLE, /* vars */
    PG_COLUMN_NULLABLE, /* output */
    PG_COLUMN_COMMON,   /* steps */
    PG_COLUMN_NULLABLE, /* key */
};

struct rows {
    struct pg_column columns[INSERT_COLUMNS];
    int n_columns;
    int n;
    bool failed;
};

/* kinds NULL: an element a row everywhere. */
static void rows_init(struct rows *rows, int n_columns, const enum pg_column_kind *kinds)
{
    rows->n = 0;
    rows->failed = false;
    rows->n_columns = n_columns;
    for (int i = 0; i < n_columns; i++)
        pg_column_init(&rows->columns[i], kinds ? kinds[i] : PG_COLUMN_EACH, ROWS_BYTES_MAX);
}

static void rows_done(struct rows *rows)
{
    for (int i = 0; i < rows->n_columns; i++)
        pg_column_done(&rows->columns[i]);
}

static void add_json(struct rows *rows, struct pg_column *column, const json_t *value)
{
    char *json = value ? json_write(value) : NULL;
    if (value && !json)
        rows->failed = true; /* no value at all, since a column may be one that is never null */
    else
        pg_column_add(column, json);
    free(json);
}

static const char *status_name(enum instance_step step)
{
    switch (step) {
    case STEP_ENDS: return "completed";
    case STEP_GOES_ON: return "running";
    case STEP_IDLES: return "idle";
    }
    return NULL;
}

/* An execution that parks has run nothing. */
static int steps_after(const struct execution *execution)
{
    bool ran = !execution->parks && !execution->instance.next.only_persists;
    return execution->instance.steps + (ran ? 1 : 0);
}

/* activity, status, wait_for of the state that is reached */
static struct pg_column *add_state(struct pg_column *column, const struct execution *execution)
{
    const struct instance_next *next = &execution->instance.next;
    const struct activity *activity = &execution->workflow->definition->activities[next->activity];
    pg_column_add(column++, activity->name);
    pg_column_add(column++, status_name(next->step));
    pg_column_add(column++, next->step == STEP_IDLES ? activity->wait_for : NULL);
    return column;
}

static const json_t *output_after(const struct execution *execution)
{
    const struct instance *instance = &execution->instance;
    return instance->next.output ? instance->next.output : instance->output;
}

static void add_insert(struct rows *rows, const struct execution *execution)
{
    struct pg_column *column = rows->columns;
    pg_column_add(column++, execution->id);
    pg_column_add(column++, execution->workflow->definition->name);
    pg_column_add_int64(column++, execution->workflow->version);
    column = add_state(column, execution);
    add_json(rows, column++, execution->input);
    add_json(rows, column++, execution->instance.next.vars);
    add_json(rows, column++, output_after(execution));
    pg_column_add_int64(column++, steps_after(execution));
    pg_column_add(column++, execution->key);
    rows->n++;
}

static void add_update(struct rows *rows, const struct execution *execution)
{
    struct pg_column *column = rows->columns;
    pg_column_add(column++, execution->id);
    pg_column_add_int64(column++, execution->instance.state_version);
    column = add_state(column, execution);
    add_json(rows, column++, execution->instance.next.vars);
    add_json(rows, column++, output_after(execution));
    pg_column_add_int64(column++, steps_after(execution));
    rows->n++;
}

static void add_delete(struct rows *rows, const struct execution *execution)
{
    pg_column_add(&rows->columns[0], execution->id);
    pg_column_add_int64(&rows->columns[1], execution->instance.state_version);
    rows->n++;
}

/* What ends has no row in a workflow without history, unless somebody may know of it. */
static bool leaves_no_row(const struct execution *execution)
{
    return execution->instance.next.step == STEP_ENDS && !execution->instance.has_idled &&
           execution->workflow->definition->history == HISTORY_NONE;
}

static void add_statement(struct batch *batch, struct rows *rows, const char *sql,
                          const char *process_id, bool counted)
{
    const char *params[INSERT_COLUMNS + 2];
    char count[24];
    int n = 0;
    if (rows->n == 0)
        return;
    for (; n < rows->n_columns; n++) {
        params[n] = pg_column_end(&rows->columns[n]);
        rows->failed = rows->failed || pg_column_failed(&rows->columns[n]);
    }
    snprintf(count, sizeof count, "%d", rows->n);
    if (process_id)
        params[n++] = process_id;
    if (counted)
        params[n++] = count;
    pg_pipeline_add(batch->pipeline, PG_PREPARED, sql, n, params);
}

bool batch_instances_add_saves(struct batch *batch, struct fault *fault)
{
    struct rows inserts, updates, deletes;
    const char *process_id = batch->runtime->process_id;
    rows_init(&inserts, INSERT_COLUMNS, insert_kinds);
    rows_init(&updates, UPDATE_COLUMNS, NULL);
    rows_init(&deletes, DELETE_COLUMNS, NULL);
    for (struct member *member = batch->members; member; member = member->next) {
        const struct execution *execution = member->execution;
        if (member->fate != FATE_KEPT)
            continue;
        if (!leaves_no_row(execution) && execution->instance.stored)
            add_update(&updates, execution);
        else if (!leaves_no_row(execution))
            add_insert(&inserts, execution);
        else if (execution->instance.stored)
            add_delete(&deletes, execution);
    }
    add_statement(batch, &inserts, SQL_INSTANCE_INSERT, process_id, /* counted= */ false);
    add_statement(batch, &updates, SQL_INSTANCE_UPDATE, process_id, /* counted= */ true);
    add_statement(batch, &deletes, SQL_INSTANCE_DELETE, NULL, /* counted= */ true);
    bool ok = !inserts.failed && !updates.failed && !deletes.failed;
    rows_done(&inserts);
    rows_done(&updates);
    rows_done(&deletes);
    return ok || fault_no_memory(fault);
}
