#include "job_enqueue.h"

#include "batch_fault.h"
#include "clock.h"
#include "commit_lookup.h"
#include "errand.h"
#include "execution.h"
#include "pg_array.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_AT_ONCE = 1000,
    CONNECTION_WAIT_US = 10 * 1000 * 1000,
    ANSWER_US = 10 * 1000 * 1000,
    JOBS_BYTES_MAX = 64 << 20,
    JOB_COLUMNS = 6, /* id, workflow, version, input, key, priority */
    TRIES_MAX = 20,  /* more than a pool has connections that were broken at once */
};

/* of job_keys.sql */
enum bound_column {
    BOUND_ID,
    BOUND_INSTANCE,
    BOUND_SAME_INPUT,
    BOUND_RESULT,
};

struct wish {
    char id[UUID_TEXT_BYTES];
    struct workflow *workflow;
    char *key; /* idempotency key; NULL = none */
    json_t *input;
    int priority;
    bool replayed;
    struct fault refused; /* its input is wrong */
    runtime_done_fn *done;
    void *arg;
    TAILQ_ENTRY(wish) link;
};

TAILQ_HEAD(wishes, wish);

/* One transaction, and those who wait for it. Only the newest one takes more. */
struct job_enqueue {
    struct runtime *runtime;
    struct wishes wishes;
    int n;
    int n_tries;
    bool sent;
    struct event *go;
    struct errand *errand;
    struct commit_lookup *lookup;
    int at_keys;
    char attempt[UUID_TEXT_BYTES];
    LIST_ENTRY(job_enqueue) link;
};

static void answer_with(struct job_enqueue *enqueue, struct wish *wish, const struct result *result)
{
    TAILQ_REMOVE(&enqueue->wishes, wish, link);
    enqueue->runtime->n_running--;
    if (wish->done)
        wish->done(result, wish->arg);
    json_decref(wish->input);
    free(wish->key);
    free(wish);
}

static void answer_because(struct job_enqueue *enqueue, struct wish *wish,
                           enum execution_status status, const char *reason,
                           enum result_cause cause)
{
    struct result result = {.workflow = wish->workflow->definition->name,
                            .version = wish->workflow->version,
                            .activity = "",
                            .status = status,
                            .reason = reason,
                            .replayed = wish->replayed,
                            .cause = cause};
    memcpy(result.id, wish->id, sizeof result.id);
    answer_with(enqueue, wish, &result);
}

static void answer(struct job_enqueue *enqueue, struct wish *wish, enum execution_status status,
                   const char *reason)
{
    answer_because(enqueue, wish, status, reason, CAUSE_DATABASE);
}

static void end(struct job_enqueue *enqueue, enum execution_status status, const char *reason)
{
    struct wish *wish;
    while ((wish = TAILQ_FIRST(&enqueue->wishes)))
        answer(enqueue, wish, status, reason);
    LIST_REMOVE(enqueue, link);
    errand_cancel(enqueue->errand);
    commit_lookup_cancel(enqueue->lookup);
    if (enqueue->go)
        event_free(enqueue->go);
    free(enqueue);
}

/* Whose job it is was in the answer that was lost; asking again with the key tells. */
static void end_keyed_unknown(struct job_enqueue *enqueue)
{
    struct wish *wish = TAILQ_FIRST(&enqueue->wishes), *next;
    for (; wish; wish = next) {
        next = TAILQ_NEXT(wish, link);
        if (wish->key)
            answer(enqueue, wish, STATUS_UNKNOWN, "the answer was lost: ask again with the key");
    }
}

/* Somebody brought the key before: what became of it, or the id of the instance to come. */
static void tell_bound(struct job_enqueue *enqueue, struct wish *wish, const PGresult *rows,
                       int row)
{
    const char *paths[LOCK_SET_PATHS_MAX], *text = PQgetvalue(rows, row, BOUND_RESULT);
    struct result result;
    struct fault fault;
    json_t *json = NULL;
    snprintf(wish->id, sizeof wish->id, "%s", PQgetvalue(rows, row, BOUND_INSTANCE));
    if (*PQgetvalue(rows, row, BOUND_SAME_INPUT) != 't') {
        answer_because(enqueue, wish, STATUS_INVALID,
                       "the idempotency key was used before, with another input", CAUSE_KEY);
    } else if (PQgetisnull(rows, row, BOUND_RESULT)) {
        wish->replayed = true;
        answer(enqueue, wish, STATUS_QUEUED, "");
    } else if (!json_read("the recorded answer", text, strlen(text), &json, &fault) ||
               !result_read(json, paths, LOCK_SET_PATHS_MAX, &result, &fault)) {
        answer(enqueue, wish, STATUS_FAILED, fault.text);
    } else {
        result.replayed = true;
        answer_with(enqueue, wish, &result);
    }
    json_decref(json);
}

static void tell_keyed(struct job_enqueue *enqueue, const PGresult *rows)
{
    struct wish *wish = TAILQ_FIRST(&enqueue->wishes), *next;
    for (; wish; wish = next) {
        next = TAILQ_NEXT(wish, link);
        int row = 0;
        while (row < PQntuples(rows) && strcmp(PQgetvalue(rows, row, BOUND_ID), wish->id) != 0)
            row++;
        if (row < PQntuples(rows) && strcmp(PQgetvalue(rows, row, BOUND_INSTANCE), wish->id) != 0)
            tell_bound(enqueue, wish, rows, row);
    }
}

static void send_all(struct job_enqueue *enqueue);

static void on_looked_up(enum commit_fact fact, void *arg)
{
    struct job_enqueue *enqueue = arg;
    enqueue->lookup = NULL;
    switch (fact) {
    case COMMIT_HAPPENED:
        end_keyed_unknown(enqueue);
        end(enqueue, STATUS_QUEUED, "");
        return;
    case COMMIT_NEVER:
        if (enqueue->n_tries < TRIES_MAX)
            send_all(enqueue);
        else
            end(enqueue, STATUS_FAILED, "the connection was lost before the commit");
        return;
    case COMMIT_UNKNOWN:
        end(enqueue, STATUS_UNKNOWN,
            "the answer to the commit was lost and the database did not come back in time");
        return;
    }
}

static void on_written(struct pg_answer *written, void *arg)
{
    struct job_enqueue *enqueue = arg;
    struct fault fault;
    int64_t until_us = clock_monotonic_us() + enqueue->runtime->options.look_up_us;
    enqueue->errand = NULL;
    if (!written->fault.kind && !written->connection_lost) {
        tell_keyed(enqueue, written->results[enqueue->at_keys]);
        end(enqueue, STATUS_QUEUED, "");
    } else if (!written->connection_lost && enqueue->n_tries < TRIES_MAX &&
               batch_fault_meaning(&written->fault) == MEANS_COLLISION)
        send_all(enqueue);
    else if (!written->connection_lost || written->nothing_sent)
        end(enqueue, STATUS_FAILED, written->fault.text);
    else if (!commit_lookup_start(enqueue->runtime, enqueue->attempt, until_us, on_looked_up,
                                  enqueue, &enqueue->lookup, &fault))
        on_looked_up(COMMIT_UNKNOWN, enqueue);
}

static void drop_refused(struct job_enqueue *enqueue)
{
    struct wish *wish = TAILQ_FIRST(&enqueue->wishes), *next;
    for (; wish; wish = next) {
        next = TAILQ_NEXT(wish, link);
        if (wish->refused.kind)
            answer(enqueue, wish, STATUS_INVALID, wish->refused.text);
    }
}

static bool add_row(struct text *column, const struct wish *wish)
{
    char *input = json_write(wish->input);
    pg_array_add(column++, wish->id);
    pg_array_add(column++, wish->workflow->definition->name);
    pg_array_add_int64(column++, wish->workflow->version);
    pg_array_add(column++, input);
    pg_array_add(column++, wish->key);
    pg_array_add_int64(column++, wish->priority);
    bool ok = input != NULL;
    free(input);
    return ok;
}

static bool add_statements(struct job_enqueue *enqueue, struct pg_pipeline *pipeline,
                           struct fault *fault)
{
    struct text columns[JOB_COLUMNS];
    const char *params[JOB_COLUMNS], *mark[] = {enqueue->attempt};
    struct wish *wish;
    bool ok = true;
    for (int i = 0; i < JOB_COLUMNS; i++) {
        text_init(&columns[i], JOBS_BYTES_MAX);
        pg_array_begin(&columns[i]);
    }
    TAILQ_FOREACH(wish, &enqueue->wishes, link)
    {
        ok = add_row(columns, wish) && ok;
    }
    if (!ok)
        fault_no_memory(fault);
    for (int i = 0; i < JOB_COLUMNS; i++) {
        pg_array_end(&columns[i]);
        params[i] = text_chars(&columns[i]);
        ok = ok && text_ok(&columns[i], fault);
    }
    if (ok) {
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_BATCH_AGAIN, 0, NULL); /* durable */
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_JOB_INSERT, JOB_COLUMNS, params);
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_MARK_INSERT, 1, mark);
        const char *keyed[] = {params[0], params[1], params[3], params[4]};
        enqueue->at_keys = pg_pipeline_add(pipeline, PG_PREPARED, SQL_JOB_KEYS, 4, keyed);
    }
    for (int i = 0; i < JOB_COLUMNS; i++)
        text_done(&columns[i]);
    return ok;
}

static void send_all(struct job_enqueue *enqueue)
{
    struct fault fault;
    enqueue->n_tries++;
    uuid_draw(&enqueue->runtime->uuids, enqueue->attempt);
    struct pg_pipeline *pipeline = errand_pipeline();
    if (pipeline && !add_statements(enqueue, pipeline, &fault)) {
        pg_pipeline_free(pipeline);
        end(enqueue, STATUS_FAILED, fault.text);
    } else if (!errand_start(enqueue->runtime, PG_POOL_ORDINARY, pipeline, CONNECTION_WAIT_US,
                             ANSWER_US, on_written, enqueue, &enqueue->errand, &fault)) {
        end(enqueue, STATUS_FAILED, fault.text);
    }
}

static void on_go(evutil_socket_t fd, short what, void *arg)
{
    struct job_enqueue *enqueue = arg;
    (void)fd;
    (void)what;
    enqueue->sent = true;
    drop_refused(enqueue);
    if (TAILQ_EMPTY(&enqueue->wishes))
        end(enqueue, STATUS_QUEUED, "");
    else
        send_all(enqueue);
}

/* The one that is not sent yet, or a new one. */
static struct job_enqueue *open_one(struct runtime *runtime)
{
    struct job_enqueue *enqueue = LIST_FIRST(&runtime->enqueues);
    if (enqueue && !enqueue->sent && enqueue->n < ROWS_AT_ONCE)
        return enqueue;
    enqueue = calloc(1, sizeof *enqueue);
    if (!enqueue)
        return NULL;
    enqueue->runtime = runtime;
    TAILQ_INIT(&enqueue->wishes);
    enqueue->go = event_new(runtime->base, -1, 0, on_go, enqueue);
    if (!enqueue->go) {
        free(enqueue);
        return NULL;
    }
    LIST_INSERT_HEAD(&runtime->enqueues, enqueue, link);
    event_active(enqueue->go, EV_TIMEOUT, 0);
    return enqueue;
}

static bool check_key(const char *key, struct fault *fault)
{
    struct lock_path *path = NULL;
    if (!key)
        return true;
    struct lock_segment segments[] = {{"w", 1}, {key, strlen(key)}};
    if (!lock_path_new_own("key", segments, 2, &path, fault))
        return fault_prefix(fault, "idempotency key");
    lock_path_free(path);
    return true;
}

bool runtime_enqueue(struct runtime *runtime, const struct submission *submission, int priority,
                     struct fault *fault)
{
    if (runtime->stopping)
        return fault_set(fault, FAULT_CANCELLED, "the host is stopping");
    struct wish *wish = calloc(1, sizeof *wish);
    struct job_enqueue *enqueue = wish ? open_one(runtime) : NULL;
    if (!enqueue) {
        free(wish);
        return fault_no_memory(fault);
    }
    wish->workflow = submission->workflow;
    wish->input = json_incref((json_t *)submission->input);
    wish->priority = priority;
    wish->done = submission->done;
    wish->arg = submission->arg;
    if (submission->key && !(wish->key = strdup(submission->key)))
        fault_no_memory(&wish->refused);
    if (submission->id)
        snprintf(wish->id, sizeof wish->id, "%s", submission->id);
    else
        uuid_draw(&runtime->uuids, wish->id);
    if (!wish->refused.kind &&
        execution_check_input(wish->workflow->definition, wish->input, &wish->refused) &&
        check_key(wish->key, &wish->refused))
        wish->refused.kind = FAULT_NONE;
    TAILQ_INSERT_TAIL(&enqueue->wishes, wish, link);
    enqueue->n++;
    runtime->n_running++;
    return true;
}

void job_enqueue_abandon_all(struct runtime *runtime)
{
    while (!LIST_EMPTY(&runtime->enqueues)) {
        struct job_enqueue *enqueue = LIST_FIRST(&runtime->enqueues);
        bool perhaps = enqueue->errand || enqueue->lookup;
        end(enqueue, perhaps ? STATUS_UNKNOWN : STATUS_FAILED, "the host stopped before it ended");
    }
}
