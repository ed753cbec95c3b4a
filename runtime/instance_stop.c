#include "instance_stop.h"

#include "pg_array.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <string.h>

enum {
    STOPS_BYTES_MAX = 16 << 20,
};

void instance_stops_init(struct instance_stops *stops)
{
    stops->n = 0;
    for (int i = 0; i < INSTANCE_STOP_COLUMNS; i++) {
        text_init(&stops->columns[i], STOPS_BYTES_MAX);
        pg_array_begin(&stops->columns[i]);
    }
}

void instance_stops_done(struct instance_stops *stops)
{
    for (int i = 0; i < INSTANCE_STOP_COLUMNS; i++)
        text_done(&stops->columns[i]);
}

/* The status of the instance's row; NULL = the row stays as it is. */
static const char *row_status(enum execution_status status)
{
    switch (status) {
    case STATUS_FAILED:
    case STATUS_MISSING:
    case STATUS_INVALID: return "failed";
    case STATUS_BLOCKED: return "blocked";
    case STATUS_LOCKED:
    case STATUS_CONFLICT:
    case STATUS_EXPIRED: return "running";
    case STATUS_COMPLETED:
    case STATUS_IDLE:
    case STATUS_QUEUED:
    case STATUS_UNKNOWN: break; /* whoever finds it later looks what is true */
    }
    return NULL;
}

bool instance_stop_needed(const struct execution *execution)
{
    const struct instance *instance = &execution->instance;
    const char *status = row_status(execution->status);
    if (!status || (strcmp(status, "running") == 0 && *execution->job && !instance->owned))
        return false; /* its job goes on */
    return instance->stored && !execution->overtaken && !execution->job_lost &&
           !execution->replayed && (instance->owned || execution->origin == ORIGIN_RESUME);
}

void instance_stops_add(struct instance_stops *stops, struct execution *execution)
{
    char job[UUID_TEXT_BYTES];
    struct text *column = stops->columns;
    uuid_draw(&execution->runtime->uuids, job);
    pg_array_add(column++, execution->id);
    pg_array_add_int64(column++, execution->instance.state_version);
    pg_array_add(column++, row_status(execution->status));
    pg_array_add(column++, execution->reason);
    pg_array_add(column++, *execution->job ? NULL : job); /* it has one that goes on */
    stops->n++;
}

bool instance_stops_add_statement(struct instance_stops *stops, struct pg_pipeline *pipeline,
                                  struct fault *fault)
{
    const char *params[INSTANCE_STOP_COLUMNS];
    bool ok = true;
    if (stops->n == 0)
        return true;
    for (int i = 0; i < INSTANCE_STOP_COLUMNS; i++) {
        pg_array_end(&stops->columns[i]);
        params[i] = text_chars(&stops->columns[i]);
        ok = ok && text_ok(&stops->columns[i], fault);
    }
    if (ok)
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_INSTANCE_STOP, INSTANCE_STOP_COLUMNS, params);
    return ok;
}
