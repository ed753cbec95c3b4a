/*
 *   RESTING --timer--> a connection --> LOOKING --answer--> TELLING --answer--> RESTING
 *                                           \__nothing to tell, or as before__/
 *
 * Nothing is told from the hot path: all that is told is read, once a second, from the batches
 * that are under way and the executions that are waiting.
 */
#include "lock_names.h"

#include "batch_broken.h"
#include "batch_state.h"
#include "clock.h"
#include "execution_chain.h"
#include "pg_array.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_EVERY_US = 1000 * 1000,
    TELL_AGAIN_US = 5 * 1000 * 1000, /* what has not changed: readers trust it for 15 s */
    CONNECTION_WAIT_US = 5 * 1000 * 1000,
    ANSWER_US = 5 * 1000 * 1000,
    QUEUED_US = 1000 * 1000, /* who has waited for longer is told */
    QUEUED_MAX = 200,        /* the oldest */
    WALK_MAX = 10000,        /* executions looked at, from the oldest on */
    NAMES_MAX = 4000,
    COLUMN_BYTES_MAX = 8 << 20,
};

enum name_column {
    COLUMN_STATE,
    COLUMN_KEY,
    COLUMN_PATH,
    COLUMN_EXCLUSIVE,
    COLUMN_PID,
    COLUMN_DEADLINE,
    COLUMN_INSTANCE,
    COLUMN_WORKFLOW,
    COLUMN_ACTIVITY,
    COLUMN_AGE,
    COLUMNS,
};

struct lock_names {
    struct runtime *runtime;
    struct event *timer;
    struct pg_request *request;
    struct pg_conn *conn;
    struct pg_pipeline *pipeline;
    int64_t *wanted; /* keys that somebody waits for, sorted */
    int n_wanted;
    int wanted_capacity;
    bool asked; /* all names are wanted */
    struct text columns[COLUMNS];
    int n_names;
    int n_told; /* that the database has */
    int64_t told_us;
    uint64_t told; /* a hash of that, ages apart */
};

static void rest(struct lock_names *names)
{
    struct timeval pause = clock_timeval_us((int64_t)(LOOK_EVERY_US * (0.75 + clock_jitter() / 2)));
    if (names->conn)
        pg_pool_give(names->runtime->pool, names->conn);
    names->conn = NULL;
    event_add(names->timer, &pause);
}

/* ---- what is wanted ---- */

static int compare_keys(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool want(struct lock_names *names, int64_t key)
{
    if (names->n_wanted == names->wanted_capacity) {
        int capacity = names->wanted_capacity ? 2 * names->wanted_capacity : 64;
        int64_t *grown = realloc(names->wanted, (size_t)capacity * sizeof *grown);
        if (!grown)
            return false;
        names->wanted = grown;
        names->wanted_capacity = capacity;
    }
    names->wanted[names->n_wanted++] = key;
    return true;
}

/* bigint[] as text: "{1,-2}". */
static bool read_wanted(struct lock_names *names, const char *array)
{
    const char *at = array;
    names->n_wanted = 0;
    while (*at) {
        char *end = NULL;
        at += strcspn(at, "-0123456789");
        if (!*at)
            break;
        if (!want(names, strtoll(at, &end, 10)))
            return false;
        at = end;
    }
    return true;
}

static bool is_wanted(const struct lock_names *names, const struct lock_set *set)
{
    if (names->asked)
        return true;
    for (int i = 0; names->n_wanted && i < lock_set_n_entries(set); i++)
        if (bsearch(&lock_set_entry(set, i)->key, names->wanted, (size_t)names->n_wanted,
                    sizeof *names->wanted, compare_keys))
            return true;
    return false;
}

/* ---- what there is to tell ---- */

struct name_source {
    const char *state;
    const struct execution *execution; /* NULL = several share the lock */
    const char *deadline;
    int pid;
    int64_t since_us;
};

static void add_name(struct lock_names *names, const struct lock_entry *entry,
                     const struct name_source *source, int64_t now_us)
{
    struct text *column = names->columns;
    const struct execution *execution = source->execution;
    char pid[16];
    snprintf(pid, sizeof pid, "%d", source->pid);
    pg_array_add(&column[COLUMN_STATE], source->state);
    pg_array_add_int64(&column[COLUMN_KEY], entry->key);
    pg_array_add(&column[COLUMN_PATH], entry->text);
    pg_array_add(&column[COLUMN_EXCLUSIVE], entry->exclusive ? "t" : "f");
    pg_array_add(&column[COLUMN_PID], source->pid ? pid : NULL);
    pg_array_add(&column[COLUMN_DEADLINE], source->deadline);
    pg_array_add(&column[COLUMN_INSTANCE], execution ? execution->id : NULL);
    pg_array_add(&column[COLUMN_WORKFLOW],
                 execution ? execution->workflow->definition->name : NULL);
    pg_array_add(&column[COLUMN_ACTIVITY], execution ? execution_activity(execution)->name : NULL);
    pg_array_add_int64(&column[COLUMN_AGE], (now_us - source->since_us) / 1000);
    names->n_names++;
}

/* Its own paths with it, and the prefixes, which are nobody's in particular where others of the
 * batch share them. */
static void add_set(struct lock_names *names, const struct lock_set *set,
                    const struct execution *execution, struct name_source source, bool shares,
                    int64_t now_us)
{
    for (int i = 0; i < lock_set_n_entries(set) && names->n_names < NAMES_MAX; i++) {
        const struct lock_entry *entry = lock_set_entry(set, i);
        source.execution = entry->exclusive || !shares ? execution : NULL;
        add_name(names, entry, &source, now_us);
    }
}

static void add_batch(struct lock_names *names, const struct batch *batch, int64_t now_us)
{
    bool waits = batch->kind == BATCH_WAIT && batch->state == BATCH_TAKING;
    if (!waits && !batch->granted_us)
        return; /* its tries are under way */
    for (const struct member *member = batch->members; member; member = member->next) {
        const struct execution *execution = member->execution;
        /* of several activities in one transaction the first and the present one */
        const struct lock_set *sets[] = {execution->locks,
                                         execution->chain ? execution->chain->first_locks : NULL};
        if (member->fate == FATE_REFUSED)
            continue;
        struct name_source source = {
            .state = waits ? "waiting" : "held",
            .deadline = waits ? NULL : batch->deadline,
            .pid = waits && batch->conn ? pg_conn_backend_pid(batch->conn) : 0,
            .since_us = waits ? execution->submitted_us : batch->granted_us,
        };
        for (int i = 0; i < 2; i++)
            if (sets[i] && is_wanted(names, sets[i]))
                add_set(names, sets[i], execution, source, !batch_is_alone(batch), now_us);
    }
}

static bool is_queued(const struct execution *execution, int64_t now_us)
{
    return execution->locks && now_us - execution->submitted_us >= QUEUED_US &&
           (execution->state == EXECUTION_QUEUED || execution->state == EXECUTION_READY);
}

/* What waits here is waited for here too. */
static bool add_queued(struct lock_names *names, int64_t now_us)
{
    const struct execution *execution;
    int n_walked = 0, n_queued = 0;
    TAILQ_FOREACH(execution, &names->runtime->executions, by_time)
    {
        if (++n_walked > WALK_MAX || n_queued == QUEUED_MAX)
            break;
        if (!is_queued(execution, now_us))
            continue;
        struct name_source source = {.state = "queued", .since_us = execution->submitted_us};
        add_set(names, execution->locks, execution, source, /* shares= */ true, now_us);
        n_queued++;
        for (int i = 0; i < lock_set_n_entries(execution->locks); i++)
            if (!want(names, lock_set_entry(execution->locks, i)->key))
                return false;
    }
    return true;
}

static bool gather(struct lock_names *names)
{
    const struct batch *batch;
    int64_t now_us = clock_monotonic_us();
    names->n_names = 0;
    for (int i = 0; i < COLUMNS; i++) {
        text_clear(&names->columns[i]);
        pg_array_begin(&names->columns[i]);
    }
    if (!add_queued(names, now_us))
        return false;
    if (names->n_wanted)
        qsort(names->wanted, (size_t)names->n_wanted, sizeof *names->wanted, compare_keys);
    if (names->asked || names->n_wanted) {
        LIST_FOREACH(batch, &names->runtime->batches, link)
        {
            add_batch(names, batch, now_us);
        }
    }
    bool ok = true;
    for (int i = 0; i < COLUMNS; i++) {
        pg_array_end(&names->columns[i]);
        ok = ok && !names->columns[i].failed;
    }
    return ok;
}

/* ---- telling ---- */

/* FNV-1a. An unlucky one costs a reader a few seconds. */
static uint64_t hash_names(const struct lock_names *names)
{
    uint64_t hash = 14695981039346656037u;
    for (int i = 0; i < COLUMNS; i++)
        for (const char *c = text_chars(&names->columns[i]); i != COLUMN_AGE && *c; c++)
            hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    return hash;
}

/* True if the database has this already; ages grow by themselves there. */
static bool is_told(const struct lock_names *names, uint64_t hash)
{
    bool recent = clock_monotonic_us() - names->told_us < TELL_AGAIN_US;
    return names->n_names == names->n_told && (!names->n_told || (hash == names->told && recent));
}

static void on_told(struct pg_answer *answer, void *arg)
{
    struct lock_names *names = arg;
    if (answer->fault.kind) /* without the right to write, say: nobody is harmed but who looks */
        names->n_told = -1;
    rest(names);
}

static void tell(struct lock_names *names, bool tidy)
{
    struct fault fault;
    uint64_t hash = hash_names(names);
    const char *params[COLUMNS + 1] = {names->runtime->process_id};
    for (int i = 0; i < COLUMNS; i++)
        params[i + 1] = text_chars(&names->columns[i]);
    pg_pipeline_clear(names->pipeline);
    pg_pipeline_begin(names->pipeline);
    if (!is_told(names, hash)) {
        pg_pipeline_add(names->pipeline, PG_PREPARED, SQL_LOCK_NAME_CLEAR, 1, params);
        if (names->n_names)
            pg_pipeline_add(names->pipeline, PG_PREPARED, SQL_LOCK_NAME_ADD, COLUMNS + 1, params);
        names->told = hash;
        names->n_told = names->n_names;
        names->told_us = clock_monotonic_us();
    }
    if (tidy)
        pg_pipeline_add(names->pipeline, PG_PREPARED, SQL_LOCK_NAME_TIDY, 0, NULL);
    bool nothing = pg_pipeline_length(names->pipeline) == 1;
    pg_pipeline_commit(names->pipeline);
    if (nothing || !pg_conn_send(names->conn, names->pipeline, ANSWER_US, on_told, names, &fault))
        rest(names);
}

/* ---- looking ---- */

static bool is_true(const PGresult *result, int column)
{
    return strcmp(PQgetvalue(result, 0, column), "t") == 0;
}

static void on_looked(struct pg_answer *answer, void *arg)
{
    struct lock_names *names = arg;
    if (answer->fault.kind || answer->connection_lost) {
        rest(names);
        return;
    }
    const PGresult *look = answer->results[0];
    names->asked = is_true(look, 0);
    if (read_wanted(names, PQgetvalue(look, 0, 2)) && gather(names))
        tell(names, /* tidy= */ is_true(look, 1));
    else
        rest(names); /* no memory: not now */
}

static void on_connection(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct lock_names *names = arg;
    struct fault failed;
    const char *process[] = {names->runtime->process_id};
    (void)fault;
    names->request = NULL;
    names->conn = conn;
    if (!conn) {
        rest(names);
        return;
    }
    pg_pipeline_clear(names->pipeline);
    pg_pipeline_add(names->pipeline, PG_PREPARED, SQL_LOCK_LOOK, 1, process);
    if (!pg_conn_send(conn, names->pipeline, ANSWER_US, on_looked, names, &failed))
        rest(names);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct lock_names *names = arg;
    struct fault fault;
    (void)fd;
    (void)what;
    batch_broken_notice(names->runtime);
    if (!pg_pool_take(names->runtime->pool, PG_POOL_RESERVED, CONNECTION_WAIT_US, on_connection,
                      names, &names->request, &fault))
        rest(names);
}

/* ---- life ---- */

bool lock_names_new(struct runtime *runtime, struct lock_names **out, struct fault *fault)
{
    struct lock_names *names = calloc(1, sizeof *names);
    if (!names)
        return fault_no_memory(fault);
    names->runtime = runtime;
    for (int i = 0; i < COLUMNS; i++)
        text_init(&names->columns[i], COLUMN_BYTES_MAX);
    names->pipeline = pg_pipeline_new();
    names->timer = event_new(runtime->base, -1, 0, on_timer, names);
    if (!names->pipeline || !names->timer) {
        lock_names_free(names);
        return fault_no_memory(fault);
    }
    *out = names;
    return true;
}

void lock_names_start(struct lock_names *names)
{
    rest(names);
}

void lock_names_free(struct lock_names *names)
{
    if (!names)
        return;
    if (names->request)
        pg_pool_cancel(names->request);
    if (names->conn)
        pg_pool_give(names->runtime->pool, names->conn);
    if (names->timer)
        event_free(names->timer);
    pg_pipeline_free(names->pipeline);
    for (int i = 0; i < COLUMNS; i++)
        text_done(&names->columns[i]);
    free(names->wanted);
    free(names);
}
