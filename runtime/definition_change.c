#include "definition_change.h"

#include "clock.h"
#include "lock_set.h"
#include "locks_sql.h"
#include "pg_array.h"
#include "pg_pool.h"
#include "runtime_sql.h"
#include "runtime_state.h"
#include "table_foresight.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECTION_WAIT_US = 30 * 1000 * 1000,
    ANSWER_US = 30 * 1000 * 1000,
    SILENCE_MS = 60 * 1000, /* of this host while it holds the locks */
    TRIES_MAX = 5,
    PAUSE_US = 50 * 1000,
    NUMBER_BYTES = 16,
    KEYS_BYTES_MAX = 1 << 20,
};

enum change_state {
    CHANGE_CONNECTING, /* awaits a connection */
    CHANGE_LOCKING,    /* awaits the answer to the locks and the look */
    CHANGE_HELD,       /* its owner's turn */
    CHANGE_ENDING,     /* awaits the answer to COMMIT or ROLLBACK */
    CHANGE_PAUSING,    /* before the next try */
};

struct definition_change {
    struct runtime *runtime;
    struct definition_change_options options;
    enum change_state state;
    struct lock_set *locks;
    struct pg_request *request;
    struct pg_conn *conn;
    struct pg_pipeline *pipeline;
    struct event *timer;
    int at_lock;
    int at_commit; /* -1: it rolls back */
    int n_tries;
    enum definition_change_end end; /* once it rolls back */
    struct fault fault;
};

struct pg_pipeline *definition_change_pipeline(struct definition_change *change)
{
    return change->pipeline;
}

void definition_change_cancel(struct definition_change *change)
{
    if (!change)
        return;
    if (change->request)
        pg_pool_cancel(change->request);
    if (change->conn)
        pg_pool_give(change->runtime->pool, change->conn);
    if (change->timer)
        event_free(change->timer);
    pg_pipeline_free(change->pipeline);
    lock_set_free(change->locks);
    free(change);
}

static void finish(struct definition_change *change, enum definition_change_end end,
                   const struct fault *fault)
{
    struct definition_change_options options = change->options;
    struct fault copy = fault ? *fault : (struct fault){0};
    definition_change_cancel(change);
    options.done(end, end == CHANGE_FAILED ? &copy : NULL, options.arg);
}

static void give_back(struct definition_change *change)
{
    pg_pool_give(change->runtime->pool, change->conn);
    change->conn = NULL;
}

static bool is_worth_another_try(const struct pg_answer *answer)
{
    return answer->connection_lost || strcmp(answer->fault.sqlstate, "40P01") == 0 ||
           strcmp(answer->fault.sqlstate, "40001") == 0;
}

/* Nothing has been committed. */
static void try_again(struct definition_change *change, const struct pg_answer *answer)
{
    struct timeval pause = clock_timeval_us((int64_t)(PAUSE_US * (1 + clock_jitter())));
    struct fault fault = answer->fault;
    give_back(change);
    if (++change->n_tries >= TRIES_MAX || !is_worth_another_try(answer)) {
        finish(change, CHANGE_FAILED, &fault);
        return;
    }
    change->state = CHANGE_PAUSING;
    event_add(change->timer, &pause);
}

/* ---- the end ---- */

static void on_ended(struct pg_answer *answer, void *arg)
{
    struct definition_change *change = arg;
    struct fault fault = {0};
    if (change->at_commit < 0) { /* a rollback that is not answered is one all the same */
        fault = change->fault;
        give_back(change);
        finish(change, change->end, &fault);
        return;
    }
    if (answer->connection_lost && !answer->nothing_sent) {
        fault_set(&fault, FAULT_UNKNOWN, "the answer to the commit was lost: %s",
                  answer->fault.text);
    } else if (answer->fault.kind) {
        try_again(change, answer);
        return;
    } else if (!answer->results ||
               strcmp(PQcmdStatus(answer->results[change->at_commit]), "COMMIT") != 0) {
        fault_set(&fault, FAULT_DATABASE, "the change was rolled back");
    } else if (answer->warned == change->at_commit) {
        fault_set(&fault, FAULT_UNKNOWN, "the database could not confirm the commit");
    }
    give_back(change);
    finish(change, fault.kind ? CHANGE_FAILED : CHANGE_COMMITTED, &fault);
}

static void send_end(struct definition_change *change)
{
    struct fault fault;
    change->state = CHANGE_ENDING;
    if (pg_conn_send(change->conn, change->pipeline, ANSWER_US, on_ended, change, &fault))
        return;
    struct pg_answer unsent = {.fault = fault, .nothing_sent = true};
    on_ended(&unsent, change);
}

void definition_change_commit(struct definition_change *change)
{
    change->at_commit = pg_pipeline_commit(change->pipeline);
    send_end(change);
}

static void roll_back(struct definition_change *change, enum definition_change_end end)
{
    change->end = end;
    change->at_commit = -1;
    pg_pipeline_clear(change->pipeline);
    pg_pipeline_add(change->pipeline, PG_PREPARED, "ROLLBACK", 0, NULL);
    send_end(change);
}

void definition_change_drop(struct definition_change *change, const struct fault *fault)
{
    if (fault)
        change->fault = *fault;
    roll_back(change, fault ? CHANGE_FAILED : CHANGE_DROPPED);
}

/* ---- the locks ---- */

static void on_locked(struct pg_answer *answer, void *arg)
{
    struct definition_change *change = arg;
    if (answer->fault.kind || answer->connection_lost) {
        try_again(change, answer);
        return;
    }
    const char *granted = PQgetvalue(answer->results[change->at_lock], 0, 0);
    if (strcmp(granted, "t") != 0 && strcmp(granted, "{t}") != 0) {
        roll_back(change, CHANGE_REFUSED);
        return;
    }
    change->state = CHANGE_HELD;
    pg_pipeline_clear(change->pipeline);
    change->options.held(answer->results + change->at_lock + 2, change->options.arg);
}

static int add_locks(struct definition_change *change, struct fault *fault)
{
    struct text keys, exclusive;
    int n = lock_set_n_entries(change->locks), at;
    char number[NUMBER_BYTES], size[NUMBER_BYTES + 2];
    text_init(&keys, KEYS_BYTES_MAX);
    text_init(&exclusive, KEYS_BYTES_MAX);
    pg_array_begin(&keys);
    pg_array_begin(&exclusive);
    for (int i = 0; i < n; i++) {
        pg_array_add_int64(&keys, lock_set_entry(change->locks, i)->key);
        pg_array_add(&exclusive, lock_set_entry(change->locks, i)->exclusive ? "t" : "f");
    }
    pg_array_end(&keys);
    pg_array_end(&exclusive);
    snprintf(number, sizeof number, "%d", change->options.wait_ms);
    snprintf(size, sizeof size, "{%d}", n);
    const char *wait[] = {text_chars(&keys), text_chars(&exclusive), number};
    const char *try[] = {size, text_chars(&keys), text_chars(&exclusive)};
    if (change->options.wait_ms)
        at = pg_pipeline_add(change->pipeline, PG_PREPARED, SQL_LOCK_WAIT, 3, wait);
    else
        at = pg_pipeline_add(change->pipeline, PG_PREPARED, SQL_LOCK_TRY, 3, try);
    bool ok = text_ok(&keys, fault) && text_ok(&exclusive, fault);
    text_done(&keys);
    text_done(&exclusive);
    return ok ? at : -1;
}

/* BEGIN, the locks, and then, by later statements, the look: a snapshot older than the grant would
 * not see what the last holder committed. */
static bool lock_and_look(struct definition_change *change, struct fault *fault)
{
    char silence[NUMBER_BYTES];
    const char *begin[] = {silence};
    snprintf(silence, sizeof silence, "%d", SILENCE_MS);
    pg_pipeline_clear(change->pipeline);
    pg_pipeline_begin(change->pipeline);
    pg_pipeline_add(change->pipeline, PG_PREPARED, SQL_CHANGE_BEGIN, 1, begin);
    change->at_lock = add_locks(change, fault);
    if (change->at_lock < 0)
        return false;
    pg_pipeline_add(change->pipeline, PG_PREPARED, "SET LOCAL statement_timeout = '30s'", 0, NULL);
    change->options.look(change->pipeline, change->options.arg);
    int64_t timeout_us = ANSWER_US + (int64_t)change->options.wait_ms * 1000;
    return pg_conn_send(change->conn, change->pipeline, timeout_us, on_locked, change, fault);
}

static void on_connection(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct definition_change *change = arg;
    struct fault failed;
    change->request = NULL;
    change->conn = conn;
    if (!conn) {
        failed = *fault;
        finish(change, CHANGE_FAILED, &failed);
        return;
    }
    change->state = CHANGE_LOCKING;
    if (!lock_and_look(change, &failed))
        finish(change, CHANGE_FAILED, &failed);
}

static bool connect_now(struct definition_change *change, struct fault *fault)
{
    change->state = CHANGE_CONNECTING;
    return pg_pool_take(change->runtime->pool, PG_POOL_ORDINARY, CONNECTION_WAIT_US, on_connection,
                        change, &change->request, fault);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct definition_change *change = arg;
    struct fault fault;
    (void)fd;
    (void)what;
    if (!connect_now(change, &fault))
        finish(change, CHANGE_FAILED, &fault);
}

/* ---- life ---- */

static bool make_locks(struct definition_change *change, const char *const *names, int n_names,
                       struct fault *fault)
{
    int n_paths = n_names ? n_names : 1;
    struct lock_path **paths = calloc((size_t)n_paths, sizeof *paths);
    bool ok = paths || fault_no_memory(fault);
    for (int i = 0; ok && i < n_paths; i++) {
        const char *name = n_names ? names[i] : "";
        struct lock_segment segment = {.bytes = name, .n_bytes = strlen(name)};
        ok = lock_path_new_own("definitions", &segment, n_names ? 1 : 0, &paths[i], fault);
    }
    ok = ok && lock_set_new(paths, n_paths, change->runtime->schema, &change->locks, fault);
    for (int i = 0; paths && i < n_paths; i++)
        lock_path_free(paths[i]);
    free(paths);
    return ok;
}

bool definition_change_start(struct runtime *runtime,
                             const struct definition_change_options *options,
                             struct definition_change **out, struct fault *fault)
{
    if (runtime->stopping)
        return fault_set(fault, FAULT_CANCELLED, "the host is stopping");
    struct definition_change *change = calloc(1, sizeof *change);
    if (!change)
        return fault_no_memory(fault);
    table_foresight_forget_version(runtime);
    change->runtime = runtime;
    change->options = *options;
    change->options.names = NULL;
    change->pipeline = pg_pipeline_new();
    change->timer = event_new(runtime->base, -1, 0, on_timer, change);
    bool ok = (change->pipeline && change->timer) || fault_no_memory(fault);
    ok = ok && make_locks(change, options->names, options->n_names, fault) &&
         connect_now(change, fault);
    if (!ok) {
        definition_change_cancel(change);
        return false;
    }
    *out = change;
    return true;
}
