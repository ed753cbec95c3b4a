#include "definition_refresh.h"

#include "definition_change.h"
#include "definition_read.h"
#include "definition_store.h"
#include "pg_array.h"
#include "pg_pool.h"
#include "runtime_sql.h"
#include "runtime_state.h"
#include "utf8.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum {
    IDS_MAX = 256, /* as many locks at once; more is `all` */
    ID_BYTES_MAX = 255,
    IDS_BYTES_MAX = 1 << 20,
    LOSSES_MAX = 5, /* of the connection, in a row */
};

struct definition_refresh {
    struct runtime *runtime;
    char **ids; /* sorted, each once, and such as may be locked */
    int n_ids;
    bool all;
    definition_refresh_fn *done;
    void *arg;
    json_t *report;
    json_t *not_found; /* named, but no lock path */
    int n_losses;
    struct text list; /* the ids as an array; unused for all */
    struct definition_change *change;
    PGresult *texts; /* READING: workflow, version, checksum, source */
    int at;
    struct event *next;
    LIST_ENTRY(definition_refresh) link;
};

/* ---- the end ---- */

static void release(struct definition_refresh *refresh)
{
    definition_change_cancel(refresh->change);
    if (refresh->next)
        event_free(refresh->next);
    for (int i = 0; refresh->ids && i < refresh->n_ids; i++)
        free(refresh->ids[i]);
    free(refresh->ids);
    text_done(&refresh->list);
    PQclear(refresh->texts);
    json_decref(refresh->report);
    json_decref(refresh->not_found);
    LIST_REMOVE(refresh, link);
    free(refresh);
}

static void finish(struct definition_refresh *refresh, const struct fault *fault)
{
    refresh->done(fault ? NULL : refresh->report, fault, refresh->arg);
    release(refresh);
}

static void report_status(struct definition_refresh *refresh, const char *status)
{
    json_object_set_new(refresh->report, "status", json_string(status));
}

/* ---- under the locks ---- */

static void look(struct pg_pipeline *pipeline, void *arg)
{
    struct definition_refresh *refresh = arg;
    const char *params[] = {refresh->all ? NULL : text_chars(&refresh->list)};
    pg_pipeline_add(pipeline, PG_PREPARED, SQL_DEFINITION_TEXTS, 1, params);
}

static void tell_unreadable(const struct definition_refresh *refresh, const char *name,
                            const char *version, const struct problems *problems)
{
    if (refresh->runtime->options.log)
        log_line(refresh->runtime->options.log, LOG_LEVEL_WARNING, "runtime",
                 "%s %s was not refreshed: line %d: %s", name, version,
                 problems->n_items ? problems->items[0].line : 0,
                 problems->n_items ? problems->items[0].message : "not readable");
}

/* A text that this program cannot read, of a newer one perhaps, keeps its triggers. */
static bool refresh_row(struct definition_refresh *refresh, int row, struct fault *fault)
{
    struct pg_pipeline *pipeline = definition_change_pipeline(refresh->change);
    const char *name = PQgetvalue(refresh->texts, row, 0);
    const char *version = PQgetvalue(refresh->texts, row, 1);
    const char *source = PQgetvalue(refresh->texts, row, 3);
    const char *params[] = {name};
    struct definition *definition = NULL;
    struct problems problems;
    problems_init(&problems);
    bool good = definition_read(refresh->runtime->sandbox, name, source, strlen(source),
                                &definition, &problems);
    if (!good)
        tell_unreadable(refresh, name, version, &problems);
    problems_done(&problems);
    bool ok = !good || definition_store_add_triggers(pipeline, definition, atoi(version), fault);
    definition_free(definition);
    if (!ok || !good)
        return ok;
    pg_pipeline_add(pipeline, PG_PREPARED, SQL_DEFINITION_REFRESHED, 1, params);
    definition_store_add_notice(pipeline, name, atoi(version));
    return json_array_append_new(json_object_get(refresh->report, "refreshed"),
                                 json_string(name)) == 0 ||
           fault_no_memory(fault);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What is locked and has no row. */
static bool report_not_found(struct definition_refresh *refresh, struct fault *fault)
{
    json_t *list = json_copy(refresh->not_found);
    bool ok = list != NULL;
    for (int i = 0; ok && i < refresh->n_ids; i++) {
        bool found = false;
        for (int row = 0; !found && row < PQntuples(refresh->texts); row++)
            found = strcmp(PQgetvalue(refresh->texts, row, 0), refresh->ids[i]) == 0;
        ok = found || json_array_append_new(list, json_string(refresh->ids[i])) == 0;
    }
    ok = ok && json_object_set(refresh->report, "not-found", list) == 0;
    json_decref(list);
    return ok || fault_no_memory(fault);
}

static void held(PGresult **results, void *arg)
{
    struct definition_refresh *refresh = arg;
    json_array_clear(json_object_get(refresh->report, "refreshed"));
    PQclear(refresh->texts);
    refresh->texts = results[0];
    results[0] = NULL;
    refresh->at = 0;
    event_active(refresh->next, EV_TIMEOUT, 0);
}

static void on_next(evutil_socket_t fd, short what, void *arg)
{
    struct definition_refresh *refresh = arg;
    const struct timeval now = {0};
    struct fault fault;
    (void)fd;
    (void)what;
    if (refresh->at < PQntuples(refresh->texts)) {
        if (refresh_row(refresh, refresh->at++, &fault))
            event_add(refresh->next, &now); /* not event_active: others are to have their turn */
        else
            definition_change_drop(refresh->change, &fault);
        return;
    }
    if (!report_not_found(refresh, &fault))
        definition_change_drop(refresh->change, &fault);
    else if (pg_pipeline_length(definition_change_pipeline(refresh->change)) == 0)
        definition_change_drop(refresh->change, NULL);
    else
        definition_change_commit(refresh->change);
}

static bool start_change(struct definition_refresh *refresh, struct fault *fault);

static void changed(enum definition_change_end end, const struct fault *fault, void *arg)
{
    struct definition_refresh *refresh = arg;
    struct fault failed;
    refresh->change = NULL;
    switch (end) {
    case CHANGE_COMMITTED:
    case CHANGE_DROPPED:
        report_status(refresh, "refreshed");
        finish(refresh, NULL);
        return;
    case CHANGE_REFUSED:
        report_status(refresh, "already-in-progress");
        finish(refresh, NULL);
        return;
    case CHANGE_FAILED: break;
    }
    failed = *fault;
    /* to refresh twice does no harm */
    if (failed.kind == FAULT_UNKNOWN && ++refresh->n_losses < LOSSES_MAX &&
        start_change(refresh, &failed))
        return;
    finish(refresh, &failed);
}

static bool start_change(struct definition_refresh *refresh, struct fault *fault)
{
    struct definition_change_options options = {
        .names = (const char *const *)refresh->ids,
        .n_names = refresh->n_ids,
        .look = look,
        .held = held,
        .done = changed,
        .arg = refresh,
    };
    return definition_change_start(refresh->runtime, &options, &refresh->change, fault);
}

/* ---- life ---- */

static bool is_lockable(const char *id)
{
    size_t length = strlen(id);
    return length > 0 && length <= ID_BYTES_MAX && utf8_prefix(id, length, length) == length;
}

/* What cannot be locked cannot be the name of a workflow either. */
static bool add_not_found(struct definition_refresh *refresh, const char *id, struct fault *fault)
{
    size_t length = strlen(id);
    json_t *text = json_stringn(id, utf8_prefix(id, length, ID_BYTES_MAX));
    return json_array_append_new(refresh->not_found, text) == 0 || fault_no_memory(fault);
}

static bool copy_ids(struct definition_refresh *refresh, const char *const *ids, int n_ids,
                     struct fault *fault)
{
    char **sorted = calloc((size_t)n_ids + 1, sizeof *sorted);
    const char *before = NULL;
    int n_kept = 0;
    if (!sorted)
        return fault_no_memory(fault);
    for (int i = 0; i < n_ids; i++)
        sorted[i] = (char *)ids[i];
    qsort(sorted, (size_t)n_ids, sizeof *sorted, by_text);
    refresh->ids = sorted;
    for (int i = 0; i < n_ids; i++) {
        char *id = sorted[i]; /* its place may be taken below */
        if (before && strcmp(before, id) == 0)
            continue;
        before = id;
        if (!is_lockable(id)) {
            if (!add_not_found(refresh, id, fault))
                return false;
            continue;
        }
        if (n_kept == IDS_MAX)
            return fault_set(fault, FAULT_INVALID,
                             "more than %d ids: name fewer, or none to refresh all", IDS_MAX);
        sorted[n_kept] = strdup(id);
        if (!sorted[n_kept])
            return fault_no_memory(fault);
        refresh->n_ids = ++n_kept;
    }
    pg_array_begin(&refresh->list);
    for (int i = 0; i < n_kept; i++)
        pg_array_add(&refresh->list, sorted[i]);
    pg_array_end(&refresh->list);
    return text_ok(&refresh->list, fault);
}

/* None of the names can be one: answered from the loop, without the database. */
static void on_nothing(evutil_socket_t fd, short what, void *arg)
{
    struct definition_refresh *refresh = arg;
    (void)fd;
    (void)what;
    json_object_set(refresh->report, "not-found", refresh->not_found);
    report_status(refresh, "refreshed");
    finish(refresh, NULL);
}

static bool begin(struct definition_refresh *refresh, struct fault *fault)
{
    bool nothing = !refresh->all && refresh->n_ids == 0;
    refresh->next =
        event_new(refresh->runtime->base, -1, 0, nothing ? on_nothing : on_next, refresh);
    if (!refresh->next)
        return fault_no_memory(fault);
    if (!nothing)
        return start_change(refresh, fault);
    event_active(refresh->next, EV_TIMEOUT, 0);
    return true;
}

bool definition_refresh_start(struct runtime *runtime, const char *const *ids, int n_ids,
                              definition_refresh_fn *done, void *arg, struct fault *fault)
{
    struct definition_refresh *refresh = calloc(1, sizeof *refresh);
    if (!refresh)
        return fault_no_memory(fault);
    *refresh = (struct definition_refresh){
        .runtime = runtime, .done = done, .arg = arg, .all = n_ids == 0};
    LIST_INSERT_HEAD(&runtime->refreshes, refresh, link);
    text_init(&refresh->list, IDS_BYTES_MAX);
    refresh->report = json_pack("{s:s, s:[], s:[]}", "status", "", "refreshed", "not-found");
    refresh->not_found = json_array();
    bool ok = (refresh->report && refresh->not_found) || fault_no_memory(fault);
    ok = ok && copy_ids(refresh, ids, n_ids, fault) && begin(refresh, fault);
    if (!ok)
        release(refresh);
    return ok;
}

void definition_refresh_abandon(struct runtime *runtime)
{
    struct definition_refresh *refresh;
    struct fault fault;
    fault_set(&fault, FAULT_CANCELLED, "the host is stopping");
    while ((refresh = LIST_FIRST(&runtime->refreshes)))
        finish(refresh, &fault);
}
