#include "definition_watch.h"

#include "clock.h"
#include "definition_reload.h"
#include "pg_conn.h"
#include "runtime_sql.h"
#include "runtime_state.h"
#include "workflow_loader.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum {
    LOOK_EVERY_US = 5 * 1000 * 1000,
    CONNECT_AGAIN_US = 1000 * 1000,
    ANSWER_US = 10 * 1000 * 1000,
    TRUST_US = 15 * 1000 * 1000, /* what was seen, without another look */
};

enum watch_state {
    WATCH_OFF,        /* awaits the timer, then connects */
    WATCH_CONNECTING, /* awaits the connection */
    WATCH_LISTENING,  /* awaits the answer to LISTEN */
    WATCH_RESTING,    /* awaits a notice or the timer */
    WATCH_LOOKING,    /* awaits the rows */
};

/* A workflow that is published. */
struct watched {
    struct definition_watch *watch;
    char *name;
    int version;
    int64_t refreshes;
    struct workflow_load *load;
    UT_hash_handle hh;
};

struct definition_watch {
    struct runtime *runtime;
    char *directory;
    char *published_by;
    enum watch_state state;
    struct pg_conn *conn;
    struct pg_pipeline *pipeline;
    struct event *timer;
    struct watched *all;
    bool noticed;         /* LOOKING: a notice came meanwhile */
    bool unserved;        /* the last look saw a reload that nobody had carried out */
    int64_t looked_at_us; /* when the last look that was answered began; 0 = never */
    int64_t look_began_us;
    bool trouble_told;
};

static void pause_for(struct definition_watch *watch, int64_t pause_us)
{
    /* jitter: the hosts should not all look at the same moment */
    struct timeval pause =
        clock_timeval_us((int64_t)((double)pause_us * (0.75 + clock_jitter() / 2)));
    event_add(watch->timer, &pause);
}

static void enter(struct definition_watch *watch, enum watch_state state)
{
    watch->state = state;
    event_del(watch->timer);
    switch (state) {
    case WATCH_OFF: pause_for(watch, CONNECT_AGAIN_US); return;
    case WATCH_RESTING: pause_for(watch, watch->noticed ? 0 : LOOK_EVERY_US); return;
    case WATCH_CONNECTING:
    case WATCH_LISTENING:
    case WATCH_LOOKING: return;
    }
}

static void lose(struct definition_watch *watch, const struct fault *fault)
{
    const struct log *log = watch->runtime->options.log;
    if (log && !watch->trouble_told)
        log_line(log, LOG_LEVEL_WARNING, "runtime", "changes of definitions are not heard of: %s",
                 fault->text);
    watch->trouble_told = true;
    pg_conn_close(watch->conn);
    watch->conn = NULL;
    enter(watch, WATCH_OFF);
}

/* ---- what has changed ---- */

static void on_loaded(struct workflow *workflow, const struct fault *fault, void *arg)
{
    struct watched *watched = arg;
    const struct log *log = watched->watch->runtime->options.log;
    watched->load = NULL;
    if (!log)
        return;
    if (workflow)
        log_line(log, LOG_LEVEL_INFO, "runtime", "%s %d is ready", watched->name,
                 workflow_version(workflow));
    else
        log_line(log, LOG_LEVEL_WARNING, "runtime", "%s %d is not ready: %s", watched->name,
                 watched->version, fault->text);
}

static void load(struct watched *watched, bool anew)
{
    struct runtime *runtime = watched->watch->runtime;
    struct fault fault;
    workflow_loader_cancel(watched->load);
    watched->load = NULL;
    bool ok = anew ? workflow_loader_get_anew(runtime, watched->name, watched->version, on_loaded,
                                              watched, &watched->load, &fault)
                   : workflow_loader_get(runtime, watched->name, watched->version, on_loaded,
                                         watched, &watched->load, &fault);
    if (!ok)
        on_loaded(NULL, &fault, watched);
}

static struct watched *watched_of(struct definition_watch *watch, const char *name)
{
    struct watched *watched;
    HASH_FIND_STR(watch->all, name, watched);
    if (watched)
        return watched;
    watched = calloc(1, sizeof *watched);
    if (!watched)
        return NULL;
    watched->watch = watch;
    watched->name = strdup(name);
    if (watched->name)
        HASH_ADD_KEYPTR(hh, watch->all, watched->name, strlen(watched->name), watched);
    if (!watched->name || !watched->hh.tbl) { /* uthash had no memory; it leaves it out */
        free(watched->name);
        free(watched);
        return NULL;
    }
    return watched;
}

/* Without memory a change is seen by the next look. */
static void apply_row(struct definition_watch *watch, const PGresult *rows, int row)
{
    struct watched *watched = watched_of(watch, PQgetvalue(rows, row, 0));
    int version = atoi(PQgetvalue(rows, row, 1));
    int64_t refreshes = strtoll(PQgetvalue(rows, row, 2), NULL, 10);
    if (!watched)
        return;
    bool first = watch->looked_at_us == 0;
    bool refreshed = !first && refreshes > watched->refreshes;
    bool newer = version > watched->version;
    watched->refreshes = refreshes;
    if (newer)
        watched->version = version;
    if (newer || refreshed)
        load(watched, refreshed);
}

/* Seen twice in a row: by then whoever was at it would have carried it out. */
static void take_up_reload(struct definition_watch *watch, const PGresult *counter)
{
    struct fault fault;
    bool unserved = PQntuples(counter) == 1 &&
                    strcmp(PQgetvalue(counter, 0, 0), PQgetvalue(counter, 0, 1)) != 0;
    bool again = unserved && watch->unserved;
    watch->unserved = unserved;
    if (!again || !watch->directory || !LIST_EMPTY(&watch->runtime->reloads))
        return;
    if (!definition_reload_take_up(watch->runtime, watch->directory, watch->published_by, &fault) &&
        watch->runtime->options.log)
        log_line(watch->runtime->options.log, LOG_LEVEL_WARNING, "runtime",
                 "the definitions were not reloaded: %s", fault.text);
}

static void on_rows(struct pg_answer *answer, void *arg)
{
    struct definition_watch *watch = arg;
    if (answer->fault.kind) {
        lose(watch, &answer->fault);
        return;
    }
    watch->trouble_told = false;
    for (int row = 0; row < PQntuples(answer->results[0]); row++)
        apply_row(watch, answer->results[0], row);
    watch->looked_at_us = watch->look_began_us;
    take_up_reload(watch, answer->results[1]);
    enter(watch, WATCH_RESTING);
}

/* ---- the connection ---- */

static void look(struct definition_watch *watch)
{
    struct fault fault;
    watch->noticed = false;
    watch->look_began_us = clock_monotonic_us();
    enter(watch, WATCH_LOOKING);
    pg_pipeline_clear(watch->pipeline);
    pg_pipeline_add(watch->pipeline, PG_PREPARED, SQL_DEFINITION_WATCH, 0, NULL);
    pg_pipeline_add(watch->pipeline, PG_PREPARED, SQL_RELOAD_READ, 0, NULL);
    if (!pg_conn_send(watch->conn, watch->pipeline, ANSWER_US, on_rows, watch, &fault))
        lose(watch, &fault);
}

/* Nothing that is committed after LISTEN can be missed by a look that begins after it. */
static void on_listening(struct pg_answer *answer, void *arg)
{
    struct definition_watch *watch = arg;
    if (answer->fault.kind)
        lose(watch, &answer->fault);
    else
        look(watch);
}

static void on_notice(const char *channel, const char *payload, void *arg)
{
    struct definition_watch *watch = arg;
    (void)channel;
    (void)payload; /* of another schema perhaps */
    watch->noticed = true;
    if (watch->state == WATCH_RESTING)
        event_active(watch->timer, EV_TIMEOUT, 0);
}

static void on_up(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct definition_watch *watch = arg;
    struct fault failed;
    if (fault) {
        failed = *fault;
        lose(watch, &failed);
        return;
    }
    if (pg_conn_is_pooled(conn)) {
        look(watch); /* whoever got that session next would hear it: this one looks by itself */
        return;
    }
    pg_conn_on_notify(conn, on_notice, watch);
    enter(watch, WATCH_LISTENING);
    pg_pipeline_clear(watch->pipeline);
    pg_pipeline_add(watch->pipeline, PG_UNNAMED, "LISTEN latchkey_definitions", 0, NULL);
    if (!pg_conn_send(conn, watch->pipeline, ANSWER_US, on_listening, watch, &failed))
        lose(watch, &failed);
}

static void connect_now(struct definition_watch *watch)
{
    const struct runtime_options *options = &watch->runtime->options;
    struct fault fault;
    struct pg_conn_options conn = {
        .conninfo = options->conninfo,
        .schema = options->schema,
        .application_name = watch->runtime->tag,
        .connect_timeout_us = options->connect_timeout_us,
        .unnamed_only = options->unnamed_only,
    };
    enter(watch, WATCH_CONNECTING);
    if (!pg_conn_open(watch->runtime->base, &conn, on_up, watch, &watch->conn, &fault))
        lose(watch, &fault);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct definition_watch *watch = arg;
    (void)fd;
    (void)what;
    switch (watch->state) {
    case WATCH_OFF: connect_now(watch); return;
    case WATCH_RESTING: look(watch); return;
    case WATCH_CONNECTING:
    case WATCH_LISTENING:
    case WATCH_LOOKING: return;
    }
}

/* ---- asked by others ---- */

int definition_watch_latest(const struct definition_watch *watch, const char *name)
{
    struct watched *watched = NULL;
    if (!watch || !watch->conn || !watch->looked_at_us ||
        clock_monotonic_us() - watch->looked_at_us > TRUST_US)
        return 0;
    HASH_FIND_STR(watch->all, name, watched);
    return watched ? watched->version : 0;
}

void definition_watch_note(struct definition_watch *watch, const char *name, int version)
{
    struct watched *watched = watch ? watched_of(watch, name) : NULL;
    if (watched && watched->version < version)
        watched->version = version;
}

/* ---- life ---- */

bool definition_watch_new(struct runtime *runtime, const char *directory, const char *published_by,
                          struct definition_watch **out, struct fault *fault)
{
    struct definition_watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return fault_no_memory(fault);
    watch->runtime = runtime;
    watch->directory = directory ? strdup(directory) : NULL;
    watch->published_by = strdup(published_by);
    watch->pipeline = pg_pipeline_new();
    watch->timer = event_new(runtime->base, -1, 0, on_timer, watch);
    if ((directory && !watch->directory) || !watch->published_by || !watch->pipeline ||
        !watch->timer) {
        definition_watch_free(watch);
        return fault_no_memory(fault);
    }
    connect_now(watch);
    *out = watch;
    return true;
}

void definition_watch_free(struct definition_watch *watch)
{
    struct watched *watched, *next;
    if (!watch)
        return;
    HASH_ITER(hh, watch->all, watched, next)
    {
        HASH_DEL(watch->all, watched);
        workflow_loader_cancel(watched->load);
        free(watched->name);
        free(watched);
    }
    pg_conn_close(watch->conn);
    if (watch->timer)
        event_free(watch->timer);
    pg_pipeline_free(watch->pipeline);
    free(watch->directory);
    free(watch->published_by);
    free(watch);
}
