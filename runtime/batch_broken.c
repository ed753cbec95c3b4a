#include "batch_broken.h"

#include "clock.h"
#include "execution_chain.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECTION_WAIT_US = 2 * 1000 * 1000, /* a database that is away has not broken a lock */
    ANSWER_US = 2 * 1000 * 1000,
    REASON_BYTES = FAULT_TEXT_BYTES,
};

struct batch_broken {
    struct batch *batch;
    struct pg_answer answer; /* of the lost transaction, without its results */
    struct pg_request *request;
    struct pg_conn *conn;
    struct pg_pipeline *pipeline;
    PGresult *found; /* key, path, by */
};

void batch_broken_free(struct batch_broken *broken)
{
    if (!broken)
        return;
    if (broken->request)
        pg_pool_cancel(broken->request);
    if (broken->conn)
        pg_pool_give(broken->batch->runtime->pool, broken->conn);
    pg_pipeline_free(broken->pipeline);
    PQclear(broken->found);
    free(broken);
}

static void settle(struct batch_broken *broken)
{
    if (broken->conn)
        pg_pool_give(broken->batch->runtime->pool, broken->conn);
    broken->conn = NULL;
    batch_failed(broken->batch, &broken->answer);
}

static void on_found(struct pg_answer *answer, void *arg)
{
    struct batch_broken *broken = arg;
    if (!answer->fault.kind && !answer->connection_lost) {
        broken->found = answer->results[0];
        answer->results[0] = NULL;
    }
    settle(broken);
}

static void on_connection(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct batch_broken *broken = arg;
    const struct batch *batch = broken->batch;
    struct fault failed;
    (void)fault;
    broken->request = NULL;
    broken->conn = conn;
    if (!conn) {
        settle(broken);
        return;
    }
    const char *tag = strchr(batch->runtime->tag, ' ') + 1;
    const char *params[] = {tag, batch->deadline};
    pg_pipeline_add(broken->pipeline, PG_PREPARED, SQL_LOCK_BREAK_FIND, 2, params);
    if (!pg_conn_send(conn, broken->pipeline, ANSWER_US, on_found, broken, &failed))
        settle(broken);
}

/* A transaction that was lost in its first pipeline may have had its grant: the server sends what
 * it has before its last words. */
static void learn_deadline(struct batch *batch, const struct pg_answer *answer)
{
    if (batch->deadline[0] || batch->state != BATCH_TAKING || !answer->results ||
        batch->at_granted >= answer->n_results)
        return;
    const PGresult *granted = answer->results[batch->at_granted];
    if (granted && PQresultStatus(granted) == PGRES_TUPLES_OK && PQntuples(granted) == 1)
        snprintf(batch->deadline, sizeof batch->deadline, "%s", PQgetvalue(granted, 0, 0));
}

static bool has_locks(const struct batch *batch)
{
    for (const struct member *member = batch->members; member; member = member->next)
        if ((member->execution->locks || member->execution->chain) && member->fate != FATE_REFUSED)
            return true;
    return false;
}

bool batch_broken_ask(struct batch *batch, const struct pg_answer *answer)
{
    struct runtime *runtime = batch->runtime;
    struct fault fault;
    if (batch->broken || runtime->stopping || !answer->connection_lost || !has_locks(batch))
        return false;
    learn_deadline(batch, answer);
    if (!batch->deadline[0])
        return false; /* it never had a grant */
    struct batch_broken *broken = calloc(1, sizeof *broken);
    if (!broken)
        return false;
    batch->broken = broken;
    broken->batch = batch;
    broken->answer = *answer;
    broken->answer.results = NULL;
    broken->answer.n_results = 0;
    broken->pipeline = pg_pipeline_new();
    if (!broken->pipeline || !pg_pool_take(runtime->pool, PG_POOL_RESERVED, CONNECTION_WAIT_US,
                                           on_connection, broken, &broken->request, &fault))
        return false;
    if (!batch->lost_us)
        batch->lost_us = clock_monotonic_us(); /* what comes later is not counted as held */
    batch_enter(batch, BATCH_BROKEN);
    if (batch->conn)
        pg_pool_give(runtime->pool, batch->conn);
    batch->conn = NULL;
    return true;
}

static bool has_key(const struct lock_set *set, int64_t key)
{
    for (int i = 0; set && i < lock_set_n_entries(set); i++) {
        const struct lock_entry *entry = lock_set_entry(set, i);
        if (entry->exclusive && entry->key == key)
            return true;
    }
    return false;
}

/* paths are joined by line feeds. */
static bool has_path(const char *paths, const char *path)
{
    size_t n = strlen(path);
    for (const char *at = paths; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, path, n) == 0 && (at[n] == '\0' || at[n] == '\n'))
            return true;
    }
    return false;
}

/* Its own locks, and those of the activities before it that the transaction carries too. */
static bool holds(const struct execution *execution, int64_t key, const char *path)
{
    const struct execution_chain *chain = execution->chain;
    bool found = has_key(execution->locks, key) || (chain && has_key(chain->first_locks, key));
    for (int i = 0; chain && !found && i < chain->n_links; i++)
        found = has_path(chain->links[i].paths, path);
    return found;
}

void batch_broken_drop(struct batch *batch)
{
    const PGresult *found = batch->broken ? batch->broken->found : NULL;
    for (int i = 0; found && i < PQntuples(found); i++) {
        int64_t key = strtoll(PQgetvalue(found, i, 0), NULL, 10);
        const char *path = PQgetvalue(found, i, 1);
        char reason[REASON_BYTES];
        snprintf(reason, sizeof reason, "its lock on %s was broken by %s", path,
                 PQgetvalue(found, i, 2));
        for (struct member *member = batch->members; member; member = member->next)
            if (member->fate != FATE_REFUSED && holds(member->execution, key, path))
                member_drop(member, STATUS_EXPIRED, reason);
    }
}

/* Nothing can be sent any more, and this says why. */
static void on_gone(struct pg_answer *answer, void *arg)
{
    batch_failed(arg, answer);
}

void batch_broken_notice(struct runtime *runtime)
{
    struct batch *batch;
    LIST_FOREACH(batch, &runtime->batches, link)
    {
        if (batch->state != BATCH_RUNNING || !batch->conn || !pg_conn_is_broken(batch->conn))
            continue;
        pg_pipeline_clear(batch->pipeline);
        batch_add_plain(batch, "ROLLBACK");
        batch_enter(batch, BATCH_ASKING);
        batch_send(batch, ANSWER_US, on_gone);
    }
}
