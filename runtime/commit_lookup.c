/*
 *   WAITING --connection--> ASKING --answer--> told
 *      ^______pause___________/  an open transaction, a lost connection: again, until the time is
 * up
 *
 * The look-up's own commit may lose its answer too. Then the next round finds the void mark, reads
 * that it is void, and that is as good an answer.
 */
#include "commit_lookup.h"

#include "clock.h"
#include "pg_pool.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAUSE_US = 50 * 1000,
    ANSWER_US = 5 * 1000 * 1000,
};

struct commit_lookup {
    struct runtime *runtime;
    char attempt[UUID_TEXT_BYTES];
    int64_t until_us;
    commit_lookup_fn *done;
    void *arg;
    struct pg_request *request;
    struct pg_conn *conn;
    struct pg_pipeline *pipeline;
    struct event *timer;
    int at_read, at_commit;
};

static void try_again(struct commit_lookup *lookup);

void commit_lookup_cancel(struct commit_lookup *lookup)
{
    if (!lookup)
        return;
    if (lookup->request)
        pg_pool_cancel(lookup->request);
    if (lookup->conn)
        pg_pool_give(lookup->runtime->pool, lookup->conn);
    if (lookup->timer)
        event_free(lookup->timer);
    pg_pipeline_free(lookup->pipeline);
    free(lookup);
}

static void tell(struct commit_lookup *lookup, enum commit_fact fact)
{
    commit_lookup_fn *done = lookup->done;
    void *arg = lookup->arg;
    commit_lookup_cancel(lookup);
    done(fact, arg);
}

static void give_back(struct commit_lookup *lookup)
{
    pg_pool_give(lookup->runtime->pool, lookup->conn);
    lookup->conn = NULL;
}

static void on_asked(struct pg_answer *answer, void *arg)
{
    struct commit_lookup *lookup = arg;
    give_back(lookup);
    if (answer->fault.kind || answer->connection_lost) {
        try_again(lookup);
        return;
    }
    PGresult *read = answer->results[lookup->at_read];
    bool durable = strcmp(PQcmdStatus(answer->results[lookup->at_commit]), "COMMIT") == 0 &&
                   answer->warned != lookup->at_commit;
    if (!durable || PQntuples(read) != 1)
        try_again(lookup);
    else
        tell(lookup, strcmp(PQgetvalue(read, 0, 0), "t") == 0 ? COMMIT_NEVER : COMMIT_HAPPENED);
}

static void add(struct commit_lookup *lookup, const char *text)
{
    pg_pipeline_add(lookup->pipeline, PG_PREPARED, text, 0, NULL);
}

static bool is_too_old(const struct commit_lookup *lookup)
{
    return clock_wall_us() - uuid_time_ms(lookup->attempt) * 1000 > COMMIT_LOOKUP_MOST_US;
}

static void ask(struct commit_lookup *lookup)
{
    struct fault fault;
    char own[UUID_TEXT_BYTES];
    const char *attempt[] = {lookup->attempt}, *both[] = {lookup->attempt, own};
    uuid_draw(&lookup->runtime->uuids, own);
    pg_pipeline_clear(lookup->pipeline);
    pg_pipeline_begin(lookup->pipeline);
    add(lookup, "SET LOCAL lock_timeout = '50ms'");
    add(lookup, "SET LOCAL synchronous_commit = on");
    pg_pipeline_add(lookup->pipeline, PG_PREPARED, SQL_MARK_VOID, 2, both);
    lookup->at_read = pg_pipeline_add(lookup->pipeline, PG_PREPARED, SQL_MARK_READ, 1, attempt);
    lookup->at_commit = pg_pipeline_commit(lookup->pipeline);
    if (!pg_conn_send(lookup->conn, lookup->pipeline, ANSWER_US, on_asked, lookup, &fault)) {
        struct pg_answer lost = {.connection_lost = true};
        on_asked(&lost, lookup);
    }
}

static void on_connection(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct commit_lookup *lookup = arg;
    (void)fault;
    lookup->request = NULL;
    lookup->conn = conn;
    if (conn && is_too_old(lookup)) {
        give_back(lookup);
        tell(lookup, COMMIT_UNKNOWN);
    } else if (conn) {
        ask(lookup);
    } else {
        try_again(lookup);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct commit_lookup *lookup = arg;
    struct fault fault;
    int64_t left_us = lookup->until_us - clock_monotonic_us();
    (void)fd;
    (void)what;
    if (left_us <= 0)
        tell(lookup, COMMIT_UNKNOWN);
    else if (!pg_pool_take(lookup->runtime->pool, PG_POOL_RESERVED, left_us, on_connection, lookup,
                           &lookup->request, &fault))
        try_again(lookup);
}

static void try_again(struct commit_lookup *lookup)
{
    struct timeval pause = clock_timeval_us(PAUSE_US);
    event_add(lookup->timer, &pause);
}

bool commit_lookup_start(struct runtime *runtime, const char *attempt, int64_t until_us,
                         commit_lookup_fn *done, void *arg, struct commit_lookup **out,
                         struct fault *fault)
{
    struct commit_lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return fault_no_memory(fault);
    lookup->runtime = runtime;
    memcpy(lookup->attempt, attempt, sizeof lookup->attempt);
    lookup->until_us = until_us;
    lookup->done = done;
    lookup->arg = arg;
    lookup->pipeline = pg_pipeline_new();
    lookup->timer = event_new(runtime->base, -1, 0, on_timer, lookup);
    if (!lookup->pipeline || !lookup->timer) {
        commit_lookup_cancel(lookup);
        return fault_no_memory(fault);
    }
    event_active(lookup->timer, EV_TIMEOUT, 0);
    *out = lookup;
    return true;
}
