#include "event_emit.h"

#include "clock.h"
#include "commit_lookup.h"
#include "errand.h"
#include "pg_array.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <stdlib.h>
#include <string.h>

enum {
    CONNECTION_WAIT_US = 10 * 1000 * 1000,
    ANSWER_US = 10 * 1000 * 1000,
    ANSWER_AT = 1, /* after BEGIN */
    EVENT_BYTES_MAX = 4 << 20,
    EVENT_COLUMNS = 3, /* id, event, payload */
};

struct event_emit {
    struct runtime *runtime;
    char attempt[UUID_TEXT_BYTES];
    struct errand *errand;
    struct commit_lookup *lookup;
    runtime_emitted_fn *done;
    void *arg;
    LIST_ENTRY(event_emit) link;
};

static void tell(struct event_emit *emit, const json_t *started, const struct fault *fault)
{
    runtime_emitted_fn *done = emit->done;
    void *arg = emit->arg;
    errand_cancel(emit->errand);
    commit_lookup_cancel(emit->lookup);
    LIST_REMOVE(emit, link);
    emit->runtime->n_running--;
    free(emit);
    done(started, fault, arg);
}

static void tell_fault(struct event_emit *emit, enum fault_kind kind, const char *words)
{
    struct fault fault;
    fault_set(&fault, kind, "%s", words);
    tell(emit, NULL, &fault);
}

static void tell_started(struct event_emit *emit, const PGresult *rows)
{
    struct fault fault;
    json_t *started = json_array();
    bool ok = started != NULL;
    for (int i = 0; ok && i < PQntuples(rows); i++)
        ok = json_array_append_new(started,
                                   json_pack("{s:s, s:s}", "workflow", PQgetvalue(rows, i, 0),
                                             "instance", PQgetvalue(rows, i, 1))) == 0;
    if (ok) {
        tell(emit, started, NULL);
    } else {
        fault_no_memory(&fault);
        tell(emit, NULL, &fault);
    }
    json_decref(started);
}

/* Which instances were started is in the answer that was lost. */
static void on_looked_up(enum commit_fact fact, void *arg)
{
    struct event_emit *emit = arg;
    emit->lookup = NULL;
    switch (fact) {
    case COMMIT_HAPPENED:
        tell_fault(emit, FAULT_UNKNOWN,
                   "the event was emitted, but the answer that tells what it started was lost");
        return;
    case COMMIT_NEVER:
        tell_fault(emit, FAULT_DATABASE, "the connection was lost before the commit");
        return;
    case COMMIT_UNKNOWN:
        tell_fault(emit, FAULT_UNKNOWN,
                   "the answer to the commit was lost and the database did not come back in time");
        return;
    }
}

static void on_written(struct pg_answer *answer, void *arg)
{
    struct event_emit *emit = arg;
    struct fault fault;
    int64_t until_us = clock_monotonic_us() + emit->runtime->options.look_up_us;
    emit->errand = NULL;
    if (!answer->fault.kind && !answer->connection_lost)
        tell_started(emit, answer->results[ANSWER_AT]);
    else if (!answer->connection_lost || answer->nothing_sent)
        tell(emit, NULL, &answer->fault);
    else if (!commit_lookup_start(emit->runtime, emit->attempt, until_us, on_looked_up, emit,
                                  &emit->lookup, &fault))
        on_looked_up(COMMIT_UNKNOWN, emit);
}

static bool add_statements(struct event_emit *emit, const char *event, const json_t *payload,
                           struct pg_pipeline *pipeline, struct fault *fault)
{
    struct text columns[EVENT_COLUMNS];
    const char *params[EVENT_COLUMNS], *mark[] = {emit->attempt};
    char id[UUID_TEXT_BYTES];
    char *written = json_write(payload);
    const char *values[EVENT_COLUMNS] = {id, event, written};
    bool ok = written ? true : fault_no_memory(fault);
    uuid_draw(&emit->runtime->uuids, id);
    for (int i = 0; i < EVENT_COLUMNS; i++) {
        text_init(&columns[i], EVENT_BYTES_MAX);
        pg_array_begin(&columns[i]);
        pg_array_add(&columns[i], values[i]);
        pg_array_end(&columns[i]);
        params[i] = text_chars(&columns[i]);
        ok = ok && text_ok(&columns[i], fault);
    }
    if (ok) {
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_EVENT_EMIT, EVENT_COLUMNS, params);
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_MARK_INSERT, 1, mark);
    }
    for (int i = 0; i < EVENT_COLUMNS; i++)
        text_done(&columns[i]);
    free(written);
    return ok;
}

static bool send(struct event_emit *emit, const char *event, const json_t *payload,
                 struct fault *fault)
{
    struct pg_pipeline *pipeline = errand_pipeline();
    if (pipeline && !add_statements(emit, event, payload, pipeline, fault)) {
        pg_pipeline_free(pipeline);
        return false;
    }
    return errand_start(emit->runtime, PG_POOL_ORDINARY, pipeline, CONNECTION_WAIT_US, ANSWER_US,
                        on_written, emit, &emit->errand, fault);
}

bool runtime_emit(struct runtime *runtime, const char *event, const json_t *payload,
                  runtime_emitted_fn *done, void *arg, struct fault *fault)
{
    if (runtime->stopping)
        return fault_set(fault, FAULT_CANCELLED, "the host is stopping");
    if (!json_is_object(payload))
        return fault_set(fault, FAULT_INVALID, "the payload of an event is an object");
    if (json_has_zero(payload))
        return fault_set(fault, FAULT_INVALID,
                         "payload holds a zero character (U+0000), which PostgreSQL cannot store");
    struct event_emit *emit = calloc(1, sizeof *emit);
    if (!emit)
        return fault_no_memory(fault);
    *emit = (struct event_emit){.runtime = runtime, .done = done, .arg = arg};
    uuid_draw(&runtime->uuids, emit->attempt);
    if (!send(emit, event, payload, fault)) {
        free(emit);
        return false;
    }
    LIST_INSERT_HEAD(&runtime->emissions, emit, link);
    runtime->n_running++;
    return true;
}

void event_emit_abandon_all(struct runtime *runtime)
{
    while (!LIST_EMPTY(&runtime->emissions)) {
        struct event_emit *emit = LIST_FIRST(&runtime->emissions);
        bool perhaps = emit->errand || emit->lookup;
        tell_fault(emit, perhaps ? FAULT_UNKNOWN : FAULT_CANCELLED,
                   "the host stopped before it ended");
    }
}
