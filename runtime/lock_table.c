#include "lock_table.h"

#include "clock.h"
#include "pg_pool.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <event2/event.h>
#include <stdlib.h>

enum {
    LOOK_EVERY_US = 3 * 1000 * 1000,
    LOOK_SOON_US = 700 * 1000, /* at first: hosts that start together see each other by and by */
    LOOKS_SOON = 5,
    CONNECTION_WAIT_US = 5 * 1000 * 1000,
    ANSWER_US = 5 * 1000 * 1000,
    ENTRIES_MIN = 32,
    SHARE_PERCENT = 50,        /* of the table, for the shared batches of all hosts together */
    BATCHES = 4,               /* of a host, at a time: shared ones and what waiters became */
    WARN_PERCENT = 60,         /* used */
    CALM_PERCENT = 50,         /* below, the next crossing is worth a line again */
    ONCE_US = 200 * 1000,      /* batches that fail together stand back once */
    GROW_US = 2 * 1000 * 1000, /* the limit doubles each time this has gone well */
};

struct lock_table {
    struct runtime *runtime;
    struct event *timer;
    struct pg_request *request;
    struct pg_conn *conn;
    struct pg_pipeline *pipeline;
    int share;         /* the limit while nothing is amiss */
    int shrunk;        /* the limit after the table was full */
    int64_t shrunk_us; /* when that was; 0 = it is over */
    int64_t used;      /* as last seen */
    int64_t size;
    int n_hosts;
    int n_looks;
    bool warned;
};

int lock_table_entries_max(const struct lock_table *table)
{
    if (!table->shrunk_us)
        return table->share;
    int64_t limit = table->shrunk;
    int64_t times = (clock_monotonic_us() - table->shrunk_us) / GROW_US;
    while (times-- > 0 && limit < table->share)
        limit *= 2;
    return limit < table->share ? (int)limit : table->share;
}

void lock_table_read(const struct lock_table *table, int64_t *used, int64_t *size, int *n_hosts)
{
    *used = table->used;
    *size = table->size;
    *n_hosts = table->n_hosts;
}

bool lock_table_shrink(struct lock_table *table)
{
    int64_t now_us = clock_monotonic_us();
    int limit = lock_table_entries_max(table);
    const struct log *log = table->runtime->options.log;
    if (table->shrunk_us && now_us - table->shrunk_us < ONCE_US)
        return true;
    if (limit <= ENTRIES_MIN)
        return false;
    table->shrunk = limit / 2 > ENTRIES_MIN ? limit / 2 : ENTRIES_MIN;
    table->shrunk_us = now_us;
    if (log)
        log_line(
            log, LOG_LEVEL_WARNING, "runtime",
            "the server's lock table is full: batches take at most %d locks for a while; raise "
            "max_locks_per_transaction",
            table->shrunk);
    return true;
}

/* ---- looking ---- */

static void rest(struct lock_table *table)
{
    int64_t pause_us = table->n_looks++ < LOOKS_SOON ? LOOK_SOON_US : LOOK_EVERY_US;
    struct timeval pause =
        clock_timeval_us((int64_t)((double)pause_us * (0.75 + clock_jitter() / 2)));
    if (table->conn)
        pg_pool_give(table->runtime->pool, table->conn);
    table->conn = NULL;
    event_add(table->timer, &pause);
}

/* Who asks for more than the usual knows the server, and is taken at the word. */
static void share_out(struct lock_table *table)
{
    int64_t n_hosts = table->n_hosts;
    int64_t most = table->runtime->options.batch_entries_max;
    if (most > runtime_default_options().batch_entries_max)
        return;
    int64_t share = table->size * SHARE_PERCENT / 100 / BATCHES / (n_hosts > 1 ? n_hosts : 1);
    share = share < ENTRIES_MIN ? ENTRIES_MIN : share;
    table->share = (int)(share < most ? share : most);
}

static void warn(struct lock_table *table)
{
    int64_t used = table->used, size = table->size;
    const struct log *log = table->runtime->options.log;
    if (used * 100 < size * CALM_PERCENT)
        table->warned = false;
    if (table->warned || used * 100 < size * WARN_PERCENT)
        return;
    table->warned = true;
    if (log)
        log_line(log, LOG_LEVEL_WARNING, "runtime",
                 "the server's lock table is %d %% full (%lld of about %lld entries): when it is "
                 "full nobody can connect; raise max_locks_per_transaction",
                 (int)(used * 100 / size), (long long)used, (long long)size);
}

static void on_looked(struct pg_answer *answer, void *arg)
{
    struct lock_table *table = arg;
    if (!answer->fault.kind && !answer->connection_lost) {
        const PGresult *use = answer->results[0];
        table->used = strtoll(PQgetvalue(use, 0, 0), NULL, 10);
        table->size = strtoll(PQgetvalue(use, 0, 1), NULL, 10);
        table->n_hosts = atoi(PQgetvalue(use, 0, 2));
        share_out(table);
        warn(table);
    }
    rest(table);
}

static void on_connection(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct lock_table *table = arg;
    struct fault failed;
    (void)fault;
    table->request = NULL;
    table->conn = conn;
    if (!conn || !pg_conn_send(conn, table->pipeline, ANSWER_US, on_looked, table, &failed))
        rest(table);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct lock_table *table = arg;
    struct fault fault;
    (void)fd;
    (void)what;
    if (!pg_pool_take(table->runtime->pool, PG_POOL_RESERVED, CONNECTION_WAIT_US, on_connection,
                      table, &table->request, &fault))
        rest(table);
}

/* ---- life ---- */

bool lock_table_new(struct runtime *runtime, struct lock_table **out, struct fault *fault)
{
    struct lock_table *table = calloc(1, sizeof *table);
    if (!table)
        return fault_no_memory(fault);
    table->runtime = runtime;
    table->share = runtime->options.batch_entries_max;
    table->pipeline = pg_pipeline_new();
    table->timer = event_new(runtime->base, -1, 0, on_timer, table);
    if (!table->pipeline || !table->timer) {
        lock_table_free(table);
        return fault_no_memory(fault);
    }
    pg_pipeline_add(table->pipeline, PG_PREPARED, SQL_LOCK_TABLE_USE, 0, NULL);
    *out = table;
    return true;
}

void lock_table_start(struct lock_table *table)
{
    event_active(table->timer, EV_TIMEOUT, 0); /* how large it is decides on the first batches */
}

void lock_table_free(struct lock_table *table)
{
    if (!table)
        return;
    if (table->request)
        pg_pool_cancel(table->request);
    if (table->conn)
        pg_pool_give(table->runtime->pool, table->conn);
    if (table->timer)
        event_free(table->timer);
    pg_pipeline_free(table->pipeline);
    free(table);
}
