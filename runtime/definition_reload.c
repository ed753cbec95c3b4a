#include "definition_reload.h"

#include "clock.h"
#include "definition_change.h"
#include "definition_import.h"
#include "errand.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ANSWER_AT = 1, /* after BEGIN */
    CONNECTION_WAIT_US = 30 * 1000 * 1000,
    ANSWER_US = 10 * 1000 * 1000,
    FOLLOW_US = 2 * 1000 * 1000,
    FOLLOW_EVERY_US = 100 * 1000,
    ROUNDS_MAX = 100, /* of one caller, however many ask meanwhile: the rest is taken up later */
    LOSSES_MAX = 5,   /* of the connection, in a row */
    NUMBER_BYTES = 24,
};

/* What awaits an answer of the small statement about the counter. */
enum reload_question {
    RELOAD_ASK,    /* raise it */
    RELOAD_LOOK,   /* after letting go: did it rise? */
    RELOAD_FOLLOW, /* has somebody carried it out? */
};

struct definition_reload {
    struct runtime *runtime;
    struct definition_import *import;
    definition_reload_fn *done; /* NULL once told */
    void *arg;
    json_t *report;
    int n_rounds;
    int n_losses;
    bool takes_up;
    bool raised;
    int64_t wanted; /* the counter that must have been carried out */
    int64_t seen;   /* READING: the counter under the lock */
    int64_t done_before;
    int64_t follow_until_us; /* 0 = not yet following */
    struct definition_change *change;
    enum reload_question question;
    struct errand *errand; /* the statement about the counter */
    int64_t ask_until_us;
    struct event *next; /* READING: the next file; FOLLOWING: the next look */
    bool reading;
    LIST_ENTRY(definition_reload) link;
};

static void try_lock(struct definition_reload *reload);

/* ---- the end ---- */

static void release(struct definition_reload *reload)
{
    errand_cancel(reload->errand);
    definition_change_cancel(reload->change);
    if (reload->next)
        event_free(reload->next);
    definition_import_free(reload->import);
    json_decref(reload->report);
    LIST_REMOVE(reload, link);
    free(reload);
}

static void tell(struct definition_reload *reload, const struct fault *fault)
{
    definition_reload_fn *done = reload->done;
    reload->done = NULL;
    if (done)
        done(fault ? NULL : reload->report, fault, reload->arg);
}

static void log_fault(const struct definition_reload *reload, const struct fault *fault)
{
    if (reload->runtime->options.log)
        log_line(reload->runtime->options.log, LOG_LEVEL_WARNING, "runtime",
                 "the definitions were not reloaded: %s", fault->text);
}

static void finish(struct definition_reload *reload, const struct fault *fault)
{
    if (fault && !reload->done) /* otherwise the caller is told */
        log_fault(reload, fault);
    tell(reload, fault);
    release(reload);
}

static void set_status(struct definition_reload *reload, const char *status)
{
    json_object_set_new(reload->report, "status", json_string(status));
}

/* ---- the counter ---- */

static void on_answer(struct pg_answer *answer, void *arg);

static const char *text_of(enum reload_question question)
{
    switch (question) {
    case RELOAD_ASK: return SQL_RELOAD_ASK;
    case RELOAD_LOOK:
    case RELOAD_FOLLOW: return SQL_RELOAD_READ;
    }
    return "";
}

static void ask(struct definition_reload *reload)
{
    struct fault fault;
    struct pg_pipeline *pipeline = errand_pipeline();
    int64_t left_us = reload->ask_until_us - clock_monotonic_us();
    if (pipeline)
        pg_pipeline_add(pipeline, PG_PREPARED, text_of(reload->question), 0, NULL);
    if (!errand_start(reload->runtime, PG_POOL_ORDINARY, pipeline, left_us > 0 ? left_us : 0,
                      ANSWER_US, on_answer, reload, &reload->errand, &fault))
        finish(reload, &fault);
}

static void put_question(struct definition_reload *reload, enum reload_question question)
{
    reload->question = question;
    reload->ask_until_us = clock_monotonic_us() + CONNECTION_WAIT_US;
    ask(reload);
}

static void follow(struct definition_reload *reload)
{
    int64_t now_us = clock_monotonic_us();
    struct timeval pause = clock_timeval_us((int64_t)(FOLLOW_EVERY_US * (0.5 + clock_jitter())));
    if (!reload->follow_until_us)
        reload->follow_until_us = now_us + FOLLOW_US;
    if (now_us >= reload->follow_until_us || reload->takes_up)
        finish(reload, NULL);
    else
        event_add(reload->next, &pause);
}

static void on_counter(struct definition_reload *reload, int64_t asked, int64_t done)
{
    switch (reload->question) {
    case RELOAD_ASK:
        reload->raised = true;
        reload->wanted = asked;
        try_lock(reload);
        return;
    case RELOAD_LOOK:
        if (asked <= reload->seen || reload->n_rounds >= ROUNDS_MAX) {
            finish(reload, NULL);
            return;
        }
        reload->raised = true; /* by somebody */
        reload->wanted = asked;
        try_lock(reload);
        return;
    case RELOAD_FOLLOW:
        if (done >= reload->wanted)
            finish(reload, NULL);
        else
            try_lock(reload);
        return;
    }
}

static void on_answer(struct pg_answer *answer, void *arg)
{
    struct definition_reload *reload = arg;
    struct fault fault = answer->fault;
    int64_t asked = 0, done = 0;
    reload->errand = NULL;
    if (!fault.kind && PQntuples(answer->results[ANSWER_AT]) == 1) {
        asked = strtoll(PQgetvalue(answer->results[ANSWER_AT], 0, 0), NULL, 10);
        if (PQnfields(answer->results[ANSWER_AT]) > 1)
            done = strtoll(PQgetvalue(answer->results[ANSWER_AT], 0, 1), NULL, 10);
    }
    if (!fault.kind)
        on_counter(reload, asked, done);
    else if (answer->connection_lost && ++reload->n_losses < LOSSES_MAX &&
             clock_monotonic_us() < reload->ask_until_us)
        ask(reload); /* raised twice does no harm */
    else
        finish(reload, &fault);
}

/* ---- under the lock ---- */

static void look(struct pg_pipeline *pipeline, void *arg)
{
    (void)arg;
    pg_pipeline_add(pipeline, PG_PREPARED, SQL_RELOAD_READ, 0, NULL);
    pg_pipeline_add(pipeline, PG_PREPARED, SQL_DEFINITION_HEADS, 0, NULL);
}

/* Not event_active: what is made active from an active event has its turn before anything else. */
static void next_now(struct definition_reload *reload)
{
    const struct timeval now = {0};
    event_add(reload->next, &now);
}

static void held(PGresult **results, void *arg)
{
    struct definition_reload *reload = arg;
    struct fault fault;
    reload->seen = strtoll(PQgetvalue(results[0], 0, 0), NULL, 10);
    reload->done_before = strtoll(PQgetvalue(results[0], 0, 1), NULL, 10);
    if (!definition_import_begin(reload->import, results[1], &fault)) {
        definition_change_drop(reload->change, &fault);
        return;
    }
    reload->reading = true;
    next_now(reload);
}

static void write(struct definition_reload *reload)
{
    struct pg_pipeline *pipeline = definition_change_pipeline(reload->change);
    struct fault fault;
    char seen[NUMBER_BYTES];
    const char *params[] = {seen};
    snprintf(seen, sizeof seen, "%lld", (long long)reload->seen);
    if (reload->seen > reload->done_before)
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_RELOAD_DONE, 1, params);
    if (!definition_import_write(reload->import, pipeline, &fault))
        definition_change_drop(reload->change, &fault);
    else if (pg_pipeline_length(pipeline) == 0)
        definition_change_drop(reload->change, NULL);
    else
        definition_change_commit(reload->change);
}

static void on_next(evutil_socket_t fd, short what, void *arg)
{
    struct definition_reload *reload = arg;
    struct fault fault;
    bool more = false;
    (void)fd;
    (void)what;
    if (!reload->reading) {
        put_question(reload, RELOAD_FOLLOW);
        return;
    }
    bool ok = definition_import_step(reload->import, &more, &fault);
    if (ok && more) {
        next_now(reload);
        return;
    }
    reload->reading = false;
    if (ok)
        write(reload);
    else
        definition_change_drop(reload->change, &fault);
}

/* What no caller is going to be told. */
static void log_published(const struct definition_reload *reload, size_t n_before)
{
    const json_t *list = json_object_get(reload->report, "published");
    const struct log *log = reload->runtime->options.log;
    for (size_t i = n_before; log && i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        log_line(log, LOG_LEVEL_INFO, "runtime", "published %s %d from %s",
                 json_string_value(json_object_get(row, "workflow")),
                 (int)json_integer_value(json_object_get(row, "version")),
                 json_string_value(json_object_get(row, "file")));
    }
}

static void end_round(struct definition_reload *reload)
{
    size_t n_before = json_array_size(json_object_get(reload->report, "published"));
    definition_import_report(reload->import, reload->report);
    if (!reload->done)
        log_published(reload, n_before);
    set_status(reload, "reloaded");
    reload->n_rounds++;
    reload->n_losses = 0;
    put_question(reload, RELOAD_LOOK);
}

static void end_refused(struct definition_reload *reload)
{
    if (!reload->raised && !reload->takes_up) {
        put_question(reload, RELOAD_ASK);
        return;
    }
    if (!reload->n_rounds)
        set_status(reload, "already-in-progress");
    tell(reload, NULL);
    follow(reload);
}

static void changed(enum definition_change_end end, const struct fault *fault, void *arg)
{
    struct definition_reload *reload = arg;
    struct fault failed;
    reload->change = NULL;
    reload->reading = false;
    event_del(reload->next);
    switch (end) {
    case CHANGE_COMMITTED:
    case CHANGE_DROPPED: end_round(reload); return;
    case CHANGE_REFUSED: end_refused(reload); return;
    case CHANGE_FAILED: break;
    }
    failed = *fault;
    /* what was published all the same is found to be equal */
    if (failed.kind == FAULT_UNKNOWN && ++reload->n_losses < LOSSES_MAX)
        try_lock(reload);
    else
        finish(reload, &failed);
}

static bool start_change(struct definition_reload *reload, struct fault *fault)
{
    struct definition_change_options options = {
        .look = look, .held = held, .done = changed, .arg = reload};
    return definition_change_start(reload->runtime, &options, &reload->change, fault);
}

static void try_lock(struct definition_reload *reload)
{
    struct fault fault;
    if (!start_change(reload, &fault))
        finish(reload, &fault);
}

/* ---- life ---- */

static json_t *new_report(void)
{
    return json_pack("{s:s, s:i, s:[], s:[], s:[], s:[]}", "status", "", "files", 0, "published",
                     "unchanged", "removed", "problems");
}

static bool start(struct runtime *runtime, const char *directory, const char *published_by,
                  bool takes_up, definition_reload_fn *done, void *arg, struct fault *fault)
{
    struct definition_reload *reload = calloc(1, sizeof *reload);
    if (!reload)
        return fault_no_memory(fault);
    *reload = (struct definition_reload){
        .runtime = runtime, .done = done, .arg = arg, .takes_up = takes_up};
    LIST_INSERT_HEAD(&runtime->reloads, reload, link);
    reload->report = new_report();
    reload->next = event_new(runtime->base, -1, 0, on_next, reload);
    bool ok = (reload->report && reload->next) || fault_no_memory(fault);
    ok = ok &&
         definition_import_new(runtime->sandbox, directory, published_by, &reload->import, fault) &&
         start_change(reload, fault);
    if (!ok)
        release(reload);
    return ok;
}

bool definition_reload_start(struct runtime *runtime, const char *directory,
                             const char *published_by, definition_reload_fn *done, void *arg,
                             struct fault *fault)
{
    return start(runtime, directory, published_by, /* takes_up= */ false, done, arg, fault);
}

bool definition_reload_take_up(struct runtime *runtime, const char *directory,
                               const char *published_by, struct fault *fault)
{
    return start(runtime, directory, published_by, /* takes_up= */ true, NULL, NULL, fault);
}

void definition_reload_abandon(struct runtime *runtime)
{
    struct definition_reload *reload;
    struct fault fault;
    fault_set(&fault, FAULT_CANCELLED, "the host is stopping");
    while ((reload = LIST_FIRST(&runtime->reloads))) {
        tell(reload, &fault);
        release(reload);
    }
}
