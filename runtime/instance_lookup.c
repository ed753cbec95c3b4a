#include "instance_lookup.h"

#include "clock.h"
#include "errand.h"
#include "execution.h"
#include "overseer.h"
#include "runtime_sql.h"
#include "runtime_state.h"
#include "workflow_loader.h"

#include <ctype.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECTION_WAIT_US = 10 * 1000 * 1000,
    ANSWER_US = 10 * 1000 * 1000,
    LOOKS_MAX = 3, /* beside the first */
    LOST_MAX = 20, /* more than a pool has that was broken at once */
    WORDS_BYTES_MAX = 1000,
    EVENT_NAME_BYTES_MAX = 255,
};

/* of instance_find.sql */
enum found_column {
    FOUND_WORKFLOW,
    FOUND_VERSION,
    FOUND_ACTIVITY,
    FOUND_STATUS,
    FOUND_WAIT_FOR,
    FOUND_PROCESS,
    FOUND_STATE_VERSION,
    FOUND_STEPS,
    FOUND_HAS_IDLED,
    FOUND_INPUT,
    FOUND_VARS,
    FOUND_OUTPUT,
    FOUND_KEY,
    FOUND_LIVES, /* the process that runs it */
};

struct instance_lookup {
    struct runtime *runtime;
    char id[UUID_TEXT_BYTES];
    char *event; /* NULL: it is resumed */
    json_t *payload;
    char job[UUID_TEXT_BYTES]; /* "" = none */
    bool alone;
    struct log_caller caller;
    runtime_done_fn *done;
    void *arg;
    int n_looks;
    int n_lost; /* connections */
    struct errand *errand;
    struct workflow_load *load;
    PGresult *row;       /* while its definition is loaded */
    struct event *later; /* tells an outcome that was known at once */
    bool tells_later;
    enum execution_status status;
    char *reason;
    LIST_ENTRY(instance_lookup) link;
};

static void look(struct instance_lookup *lookup);

static void free_lookup(struct instance_lookup *lookup)
{
    if (lookup->later)
        event_free(lookup->later);
    json_decref(lookup->payload);
    PQclear(lookup->row);
    free(lookup->event);
    free(lookup->reason);
    LIST_REMOVE(lookup, link);
    free(lookup);
}

/* It ends without an execution. */
static void tell(struct instance_lookup *lookup, enum execution_status status, const char *reason)
{
    const PGresult *row = lookup->row;
    struct result result = {
        .workflow = row ? PQgetvalue(row, 0, FOUND_WORKFLOW) : "",
        .version = row ? atoi(PQgetvalue(row, 0, FOUND_VERSION)) : 0,
        .activity = row ? PQgetvalue(row, 0, FOUND_ACTIVITY) : "",
        .status = status,
        .reason = reason,
    };
    memcpy(result.id, lookup->id, sizeof result.id);
    lookup->runtime->n_running--;
    if (lookup->done)
        lookup->done(&result, lookup->arg);
    free_lookup(lookup);
}

static const char *value(const PGresult *row, enum found_column column)
{
    return PQgetisnull(row, 0, (int)column) ? NULL : PQgetvalue(row, 0, (int)column);
}

/* ---- running ---- */

/* The row is read once more when it has changed under us, but still may take the event. */
static void on_done(const struct result *result, void *arg)
{
    struct instance_lookup *lookup = arg;
    if (result->overtaken && lookup->n_looks < LOOKS_MAX && !lookup->runtime->stopping) {
        lookup->runtime->n_running++;
        lookup->n_looks++;
        look(lookup);
        return;
    }
    if (lookup->done)
        lookup->done(result, lookup->arg);
    free_lookup(lookup);
}

static bool read_json(const PGresult *row, enum found_column column, json_t **out,
                      struct fault *fault)
{
    const char *text = value(row, column);
    *out = NULL;
    return !text || json_read("the instance's row", text, strlen(text), out, fault);
}

static bool fill(struct instance_lookup *lookup, struct execution_of_instance *about,
                 struct fault *fault)
{
    const PGresult *row = lookup->row;
    about->instance.stored = true;
    about->instance.has_idled = *value(row, FOUND_HAS_IDLED) == 't';
    about->instance.state_version = strtoll(value(row, FOUND_STATE_VERSION), NULL, 10);
    about->instance.steps = atoi(value(row, FOUND_STEPS));
    if (!read_json(row, FOUND_INPUT, &about->input, fault) ||
        !read_json(row, FOUND_VARS, &about->instance.vars, fault) ||
        !read_json(row, FOUND_OUTPUT, &about->instance.output, fault))
        return false;
    if (!lookup->event)
        return true;
    about->event = json_pack("{s:s, s:O?}", "name", lookup->event, "payload", lookup->payload);
    return about->event || fault_no_memory(fault);
}

static void run(struct instance_lookup *lookup, struct workflow *workflow)
{
    struct runtime *runtime = lookup->runtime;
    struct execution *execution = NULL;
    struct fault fault;
    bool refused = false;
    struct execution_of_instance about = {
        .workflow = workflow,
        .id = lookup->id,
        .origin = lookup->event ? ORIGIN_EVENT : ORIGIN_RESUME,
        .activity = value(lookup->row, FOUND_ACTIVITY),
        .key = value(lookup->row, FOUND_KEY),
        .job = lookup->job,
        .alone = lookup->alone,
        .caller = *lookup->caller.request_id ? &lookup->caller : NULL,
        .done = on_done,
        .arg = lookup,
    };
    bool ok = fill(lookup, &about, &fault);
    if (ok) {
        ok = execution_new_of_instance(runtime, &about, &execution, &refused, &fault);
    } else {
        instance_done(&about.instance);
    }
    json_decref(about.input);
    json_decref(about.event);
    if (!ok) {
        tell(lookup, STATUS_FAILED, fault.text);
        return;
    }
    PQclear(lookup->row);
    lookup->row = NULL;
    runtime->n_running--; /* it counts as an execution now */
    if (refused)
        runtime_conclude(runtime, execution, /* recorded= */ false);
    else
        runtime_prepare(runtime, execution);
}

static void on_loaded(struct workflow *workflow, const struct fault *fault, void *arg)
{
    struct instance_lookup *lookup = arg;
    lookup->load = NULL;
    if (workflow)
        run(lookup, workflow);
    else
        tell(lookup, fault->kind == FAULT_INVALID ? STATUS_INVALID : STATUS_FAILED, fault->text);
}

/* ---- finding ---- */

/* Whether what the row says allows the run. */
static bool may_run(const struct instance_lookup *lookup)
{
    const PGresult *row = lookup->row;
    const char *status = value(row, FOUND_STATUS), *wait_for = value(row, FOUND_WAIT_FOR);
    if (lookup->event)
        return strcmp(status, "idle") == 0 && wait_for && strcmp(wait_for, lookup->event) == 0;
    return strcmp(status, "failed") == 0 || strcmp(status, "blocked") == 0 ||
           (strcmp(status, "running") == 0 && *value(row, FOUND_LIVES) != 't');
}

static void refuse(struct instance_lookup *lookup)
{
    const PGresult *row = lookup->row;
    struct text words;
    text_init(&words, WORDS_BYTES_MAX);
    if (lookup->event)
        text_addf(&words, "the instance does not take event '%s' now: ", lookup->event);
    else
        text_add_chars(&words, "the instance is not one to resume: ");
    instance_add_state(&words, value(row, FOUND_STATUS), value(row, FOUND_ACTIVITY),
                       value(row, FOUND_WAIT_FOR), value(row, FOUND_PROCESS));
    tell(lookup, STATUS_BLOCKED, text_chars(&words));
    text_done(&words);
}

static void on_found(struct pg_answer *answer, void *arg)
{
    struct instance_lookup *lookup = arg;
    struct fault fault;
    lookup->errand = NULL;
    if (answer->connection_lost && !answer->nothing_sent && lookup->n_lost++ < LOST_MAX) {
        look(lookup);
        return;
    }
    if (answer->fault.kind || answer->connection_lost) {
        tell(lookup, STATUS_FAILED, answer->fault.text);
        return;
    }
    if (PQntuples(answer->results[0]) == 0) {
        tell(lookup, STATUS_MISSING, "no such instance");
        return;
    }
    lookup->row = answer->results[0];
    answer->results[0] = NULL;
    if (!may_run(lookup))
        refuse(lookup);
    else if (!workflow_loader_get(lookup->runtime, value(lookup->row, FOUND_WORKFLOW),
                                  atoi(value(lookup->row, FOUND_VERSION)), on_loaded, lookup,
                                  &lookup->load, &fault))
        tell(lookup, STATUS_FAILED, fault.text);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    struct instance_lookup *lookup = arg;
    (void)fd;
    (void)what;
    tell(lookup, lookup->status, lookup->reason ? lookup->reason : "");
}

static void tell_later(struct instance_lookup *lookup, enum execution_status status,
                       const char *reason)
{
    lookup->status = status;
    lookup->reason = strdup(reason);
    lookup->tells_later = true;
    event_active(lookup->later, EV_TIMEOUT, 0);
}

static void look(struct instance_lookup *lookup)
{
    char ownership_ms[24];
    const char *params[] = {lookup->id, ownership_ms};
    struct pg_pipeline *pipeline = pg_pipeline_new();
    struct fault fault;
    snprintf(ownership_ms, sizeof ownership_ms, "%lld",
             (long long)overseer_silence_ms(lookup->runtime->overseer));
    if (pipeline)
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_INSTANCE_FIND, 2, params);
    if (!errand_start(lookup->runtime, PG_POOL_ORDINARY, pipeline, CONNECTION_WAIT_US, ANSWER_US,
                      on_found, lookup, &lookup->errand, &fault))
        tell_later(lookup, STATUS_FAILED, fault.text);
}

/* ---- life ---- */

static bool copy_delivery(struct instance_lookup *lookup, const struct delivery *delivery)
{
    bool ok = true;
    if (delivery->event) {
        lookup->event = strdup(delivery->event);
        lookup->payload =
            delivery->payload ? json_incref((json_t *)delivery->payload) : json_null();
        ok = lookup->event && lookup->payload;
    }
    lookup->later = event_new(lookup->runtime->base, -1, 0, on_later, lookup);
    return ok && lookup->later;
}

bool runtime_deliver(struct runtime *runtime, const struct delivery *delivery, struct fault *fault)
{
    if (runtime->stopping || runtime->draining)
        return fault_set(fault, FAULT_CANCELLED, "the host is stopping");
    struct instance_lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return fault_no_memory(fault);
    lookup->runtime = runtime;
    lookup->done = delivery->done;
    lookup->arg = delivery->arg;
    lookup->alone = delivery->alone;
    if (delivery->caller)
        lookup->caller = *delivery->caller;
    if (delivery->job)
        strncpy(lookup->job, delivery->job, sizeof lookup->job - 1);
    LIST_INSERT_HEAD(&runtime->lookups, lookup, link);
    if (!copy_delivery(lookup, delivery)) {
        free_lookup(lookup);
        return fault_no_memory(fault);
    }
    runtime->n_running++;
    for (size_t i = 0; i < sizeof lookup->id - 1 && delivery->instance[i]; i++)
        lookup->id[i] = (char)tolower((unsigned char)delivery->instance[i]);
    if (!uuid_is_text(delivery->instance))
        tell_later(lookup, STATUS_MISSING, "no such instance: its id is not a UUID");
    else if (delivery->event && strlen(delivery->event) > EVENT_NAME_BYTES_MAX)
        tell_later(lookup, STATUS_INVALID, "the name of the event is too long");
    else if (json_has_zero(lookup->payload))
        tell_later(lookup, STATUS_INVALID,
                   "payload holds a zero character (U+0000), which PostgreSQL cannot store");
    else
        look(lookup);
    return true;
}

static void abandon(struct instance_lookup *lookup)
{
    bool runs = !lookup->errand && !lookup->load && !lookup->tells_later;
    if (runs)
        return; /* its execution tells */
    errand_cancel(lookup->errand);
    lookup->errand = NULL;
    workflow_loader_cancel(lookup->load);
    tell(lookup, STATUS_FAILED, "the host stopped before it ended");
}

void instance_lookup_abandon_all(struct runtime *runtime)
{
    struct instance_lookup *lookup = LIST_FIRST(&runtime->lookups), *next;
    for (; lookup; lookup = next) {
        next = LIST_NEXT(lookup, link);
        abandon(lookup);
    }
}
