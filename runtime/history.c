#include "history.h"

#include "execution_chain.h"
#include "runtime_sql.h"

enum {
    HISTORY_BYTES_MAX = 64 << 20,
    PATHS_BYTES_MAX = 1 << 20,
};

/* As sql/execution_insert.sql has them. */
static const enum pg_column_kind kinds[EXECUTION_COLUMNS] = {
    PG_COLUMN_EACH,     /* instance */
    PG_COLUMN_COMMON,   /* workflow */
    PG_COLUMN_COMMON,   /* version */
    PG_COLUMN_COMMON,   /* activity */
    PG_COLUMN_COMMON,   /* status */
    PG_COLUMN_NULLABLE, /* reason */
    PG_COLUMN_COMMON,   /* paths */
    PG_COLUMN_EACH,     /* waited */
    PG_COLUMN_EACH,     /* held */
    PG_COLUMN_COMMON,   /* attempts */
    PG_COLUMN_NULLABLE, /* token */
};

void history_init(struct history *history)
{
    history->n_executions = 0;
    history->failed = false;
    for (int i = 0; i < EXECUTION_COLUMNS; i++)
        pg_column_init(&history->executions[i], kinds[i], HISTORY_BYTES_MAX);
}

void history_done(struct history *history)
{
    for (int i = 0; i < EXECUTION_COLUMNS; i++)
        pg_column_done(&history->executions[i]);
}

static void add_execution(struct history *history, const struct execution *execution,
                          enum execution_status status, int64_t now_us)
{
    struct pg_column *column = history->executions;
    struct text paths;
    int64_t until_us = execution->granted_us ? execution->granted_us : now_us;
    text_init(&paths, PATHS_BYTES_MAX);
    execution_add_paths(execution, &paths);
    history->failed = history->failed || paths.failed;
    pg_column_add(column++, execution->id);
    pg_column_add(column++, execution->workflow->definition->name);
    pg_column_add_int64(column++, execution->workflow->version);
    pg_column_add(column++, execution_activity(execution)->name);
    pg_column_add(column++, execution_status_row(status)->name);
    pg_column_add(column++, status == execution->status ? execution->reason : NULL);
    pg_column_add(column++, text_chars(&paths));
    pg_column_add_milli(column++, until_us - execution->submitted_us);
    pg_column_add_milli(column++, execution->granted_us ? now_us - execution->granted_us : 0);
    pg_column_add_int64(column++, execution->attempts);
    if (execution->token)
        pg_column_add_int64(column++, execution->token);
    else
        pg_column_add(column++, NULL);
    text_done(&paths);
    history->n_executions++;
}

/* An activity before the last one that the same transaction commits. */
static void add_link(struct history *history, const struct execution *execution,
                     const struct execution_link *link)
{
    struct pg_column *column = history->executions;
    pg_column_add(column++, execution->id);
    pg_column_add(column++, execution->workflow->definition->name);
    pg_column_add_int64(column++, execution->workflow->version);
    pg_column_add(column++, link->activity->name);
    pg_column_add(column++, execution_status_row(STATUS_COMPLETED)->name);
    pg_column_add(column++, NULL);
    pg_column_add(column++, link->paths ? link->paths : "");
    pg_column_add_milli(column++, link->waited_us);
    pg_column_add_milli(column++, link->ended_us - link->granted_us);
    pg_column_add_int64(column++, link->attempts);
    pg_column_add(column++, NULL);
    history->n_executions++;
}

void history_add_kept(struct history *history, const struct execution *execution, int64_t now_us)
{
    enum execution_status status =
        execution->instance.next.step == STEP_IDLES ? STATUS_IDLE : STATUS_COMPLETED;
    if (execution->workflow->definition->history != HISTORY_FULL || execution->parks)
        return;
    for (int i = 0; execution->chain && i < execution->chain->n_links; i++)
        add_link(history, execution, &execution->chain->links[i]);
    add_execution(history, execution, status, now_us);
}

void history_add_dropped(struct history *history, const struct execution *execution)
{
    if (execution->workflow->definition->history != HISTORY_NONE)
        add_execution(history, execution, execution->status, execution->ended_us);
}

bool history_add_statements(struct history *history, const char *process_id,
                            struct pg_pipeline *pipeline, struct fault *fault)
{
    const char *params[EXECUTION_COLUMNS + 1];
    if (history->n_executions == 0)
        return true;
    for (int i = 0; i < EXECUTION_COLUMNS; i++) {
        params[i] = pg_column_end(&history->executions[i]);
        history->failed = history->failed || pg_column_failed(&history->executions[i]);
    }
    params[EXECUTION_COLUMNS] = process_id;
    pg_pipeline_add(pipeline, PG_PREPARED, SQL_EXECUTION_INSERT, EXECUTION_COLUMNS + 1, params);
    return history->failed ? fault_no_memory(fault) : true;
}
