/*
 *   WAITING --connection--> ASKING --answer--> told
 *      ^______pause___________/  an open transaction, a lost connection: again, until
 *                                         the time is up
 *
 * The look-up's own commit may lose its answer too. Then the next round finds the void mark, reads
 * that it is void, and that is as good an answer.
 */
#include "commit_lookup.h"

#include "clock.h"
#include "errand.h"
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
    struct errand *errand;
    struct event *timer;
    int at_read;
};

static void try_again(struct commit_lookup *lookup);

void commit_lookup_cancel(struct commit_lookup *lookup)
{
    if (!lookup)
        return;
    errand_cancel(lookup->errand);
    if (lookup->timer)
        event_free(lookup->timer);
    free(lookup);
}

static void tell(struct commit_lookup *lookup, enum commit_fact fact)
{
    commit_lookup_fn *done = lookup->done;
    void *arg = lookup->arg;
    commit_lookup_cancel(lookup);
    done(fact, arg);
}

static bool is_too_old(const struct commit_lookup *lookup)
{
    return clock_wall_us() - uuid_time_ms(lookup->attempt) * 1000 > COMMIT_LOOKUP_MOST_US;
}

static void on_asked(struct pg_answer *answer, void *arg)
{
    struct commit_lookup *lookup = arg;
    lookup->errand = NULL;
    if (answer->fault.kind || answer->connection_lost) {
        try_again(lookup);
        return;
    }
    int at_commit = lookup->at_read + 1;
    PGresult *read = answer->results[lookup->at_read];
    bool durable = strcmp(PQcmdStatus(answer->results[at_commit]), "COMMIT") == 0 &&
                   answer->warned != at_commit;
    if (!durable || PQntuples(read) != 1)
        try_again(lookup);
    else if (is_too_old(lookup)) /* by now: the wait for a connection may have been long */
        tell(lookup, COMMIT_UNKNOWN);
    else
        tell(lookup, strcmp(PQgetvalue(read, 0, 0), "t") == 0 ? COMMIT_NEVER : COMMIT_HAPPENED);
}

static struct pg_pipeline *new_question(struct commit_lookup *lookup)
{
    char own[UUID_TEXT_BYTES];
    const char *both[] = {lookup->attempt, own};
    struct pg_pipeline *pipeline = errand_pipeline();
    if (!pipeline)
        return NULL;
    uuid_draw(&lookup->runtime->uuids, own);
    pg_pipeline_add(pipeline, PG_PREPARED, "SET LOCAL lock_timeout = '50ms'", 0, NULL);
    pg_pipeline_add(pipeline, PG_PREPARED, "SET LOCAL synchronous_commit = on", 0, NULL);
    pg_pipeline_add(pipeline, PG_PREPARED, SQL_MARK_VOID, 2, both);
    lookup->at_read = pg_pipeline_add(pipeline, PG_PREPARED, SQL_MARK_READ, 1, both);
    return pipeline;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct commit_lookup *lookup = arg;
    struct fault fault;
    int64_t left_us = lookup->until_us - clock_monotonic_us();
    (void)fd;
    (void)what;
    if (left_us <= 0 || is_too_old(lookup))
        tell(lookup, COMMIT_UNKNOWN);
    else if (!errand_start(lookup->runtime, PG_POOL_RESERVED, new_question(lookup), left_us,
                           ANSWER_US, on_asked, lookup, &lookup->errand, &fault))
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
    lookup->timer = event_new(runtime->base, -1, 0, on_timer, lookup);
    if (!lookup->timer) {
        commit_lookup_cancel(lookup);
        return fault_no_memory(fault);
    }
    event_active(lookup->timer, EV_TIMEOUT, 0);
    *out = lookup;
    return true;
}
