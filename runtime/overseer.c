#include "overseer.h"

#include "clock.h"
#include "pg_pool.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    LOOK_EVERY_US = 500 * 1000,
    BEAT_EVERY_US = 5 * 1000 * 1000,
    BEATS_PER_OWNERSHIP = 4, /* so that a beat or two may be late */
    CONNECTION_WAIT_US = 5 * 1000 * 1000,
    ANSWER_US = 5 * 1000 * 1000,
    HOST_NAME_BYTES = 256,
    BEATS_BEFORE_JUDGING = 2,
    JUDGEMENT_US = 10 * 1000 * 1000,
};

static const int64_t NEVER_MS = (int64_t)100 * 365 * 86400 * 1000;

struct overseer {
    struct runtime *runtime;
    struct event *timer;
    struct pg_request *request;
    struct pg_conn *conn;
    struct pg_pipeline *pipeline;
    int at_overdue; /* in the pipeline under way */
    char host_name[HOST_NAME_BYTES];
    int64_t beat_us; /* when the last beat was sent */
    bool beats;      /* the pipeline under way has a beat */
    bool stopped;
    int n_beats;      /* since it was silent last, or since the start */
    int64_t heard_us; /* the last one's answer */
};

static int64_t at_most(const struct overseer *overseer, int64_t us)
{
    int64_t most_us = overseer->runtime->options.ownership_us / BEATS_PER_OWNERSHIP;
    return us < most_us ? us : most_us;
}

static void rest(struct overseer *overseer)
{
    int64_t look_us = at_most(overseer, LOOK_EVERY_US);
    /* jitter: the hosts should not all look at the same moment */
    struct timeval pause =
        clock_timeval_us((int64_t)((double)look_us * (0.75 + clock_jitter() / 2)));
    if (!overseer->stopped)
        event_add(overseer->timer, &pause);
}

static void add_beat(const struct overseer *overseer, struct pg_pipeline *pipeline)
{
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    const char *beat[] = {overseer->runtime->process_id, overseer->host_name, pid};
    pg_pipeline_add(pipeline, PG_PREPARED, SQL_HOST_BEAT, 3, beat);
}

bool overseer_beat_first(struct overseer *overseer, struct pg_conn *conn, pg_answer_fn *done,
                         void *arg, struct fault *fault)
{
    pg_pipeline_clear(overseer->pipeline);
    pg_pipeline_begin(overseer->pipeline);
    add_beat(overseer, overseer->pipeline);
    pg_pipeline_commit(overseer->pipeline);
    overseer->stopped = false;
    overseer->beat_us = clock_monotonic_us();
    return pg_conn_send(conn, overseer->pipeline, ANSWER_US, done, arg, fault);
}

/* Less than the time of ownership: if nobody could be heard since, the beats of the others, and the
 * judgement on its way, must be younger than that. */
static bool was_silent(const struct overseer *overseer, int64_t now_us)
{
    return now_us - overseer->heard_us >= overseer->runtime->options.ownership_us * 5 / 8;
}

bool overseer_may_judge(const struct overseer *overseer)
{
    return overseer->n_beats >= BEATS_BEFORE_JUDGING && !was_silent(overseer, clock_monotonic_us());
}

int64_t overseer_silence_ms(const struct overseer *overseer)
{
    return overseer_may_judge(overseer) ? overseer->runtime->options.ownership_us / 1000 : NEVER_MS;
}

int64_t overseer_judgement_us(const struct overseer *overseer)
{
    return at_most(overseer, JUDGEMENT_US) / 2;
}

/* The database has heard a beat. */
static void note_beat(struct overseer *overseer)
{
    int64_t now_us = clock_monotonic_us();
    overseer->n_beats = was_silent(overseer, now_us) ? 1 : overseer->n_beats + 1;
    overseer->heard_us = now_us;
}

void overseer_stop(struct overseer *overseer)
{
    overseer->stopped = true;
    event_del(overseer->timer);
    if (overseer->request)
        pg_pool_cancel(overseer->request);
    overseer->request = NULL;
}

static void on_looked(struct pg_answer *answer, void *arg)
{
    struct overseer *overseer = arg;
    struct runtime *runtime = overseer->runtime;
    if (!answer->fault.kind) {
        if (overseer->beats)
            note_beat(overseer);
        const PGresult *ended = answer->results[overseer->at_overdue];
        if (PQntuples(ended) == 1 && atoi(PQgetvalue(ended, 0, 0)) > 0 && runtime->options.log)
            log_line(runtime->options.log, LOG_LEVEL_WARNING, "runtime",
                     "ended %s session(s) of hosts that went silent past their deadline",
                     PQgetvalue(ended, 0, 0));
    }
    pg_pool_give(runtime->pool, overseer->conn);
    overseer->conn = NULL;
    rest(overseer);
}

static void on_connection(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct overseer *overseer = arg;
    struct fault failed;
    (void)fault;
    overseer->request = NULL;
    overseer->conn = conn;
    if (!conn) {
        rest(overseer);
        return;
    }
    int64_t now_us = clock_monotonic_us();
    overseer->beats = now_us - overseer->beat_us >= at_most(overseer, BEAT_EVERY_US);
    pg_pipeline_clear(overseer->pipeline);
    if (overseer->beats)
        pg_pipeline_begin(overseer->pipeline);
    overseer->at_overdue =
        pg_pipeline_add(overseer->pipeline, PG_PREPARED, SQL_OVERDUE_END, 0, NULL);
    if (overseer->beats) {
        overseer->beat_us = now_us;
        add_beat(overseer, overseer->pipeline);
        /* COMMIT by its other name: nobody who watches for commits of work is to meet this one */
        pg_pipeline_add(overseer->pipeline, PG_PREPARED, "END", 0, NULL);
    }
    if (!pg_conn_send(conn, overseer->pipeline, ANSWER_US, on_looked, overseer, &failed)) {
        pg_pool_give(overseer->runtime->pool, conn);
        overseer->conn = NULL;
        rest(overseer);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct overseer *overseer = arg;
    struct fault fault;
    (void)fd;
    (void)what;
    if (!pg_pool_take(overseer->runtime->pool, PG_POOL_RESERVED, CONNECTION_WAIT_US, on_connection,
                      overseer, &overseer->request, &fault))
        rest(overseer);
}

void overseer_start(struct overseer *overseer)
{
    rest(overseer);
}

bool overseer_new(struct runtime *runtime, struct overseer **out, struct fault *fault)
{
    struct overseer *overseer = calloc(1, sizeof *overseer);
    if (!overseer)
        return fault_no_memory(fault);
    overseer->runtime = runtime;
    if (gethostname(overseer->host_name, sizeof overseer->host_name - 1) != 0)
        snprintf(overseer->host_name, sizeof overseer->host_name, "unknown");
    overseer->pipeline = pg_pipeline_new();
    overseer->timer = event_new(runtime->base, -1, 0, on_timer, overseer);
    if (!overseer->pipeline || !overseer->timer) {
        overseer_free(overseer);
        return fault_no_memory(fault);
    }
    *out = overseer;
    return true;
}

void overseer_free(struct overseer *overseer)
{
    if (!overseer)
        return;
    if (overseer->request)
        pg_pool_cancel(overseer->request);
    if (overseer->conn)
        pg_pool_give(overseer->runtime->pool, overseer->conn);
    if (overseer->timer)
        event_free(overseer->timer);
    pg_pipeline_free(overseer->pipeline);
    free(overseer);
}
