#include "recorder.h"

#include "clock.h"
#include "history.h"
#include "instance_stop.h"
#include "pg_pool.h"
#include "runtime_state.h"

#include <event2/event.h>
#include <stdlib.h>

enum {
    ROWS_AT_ONCE = 500,
    CONNECTION_WAIT_US = 2 * 1000 * 1000,
    ANSWER_US = 5 * 1000 * 1000,
    PAUSE_US = 100 * 1000,
};

TAILQ_HEAD(recorded_line, execution);

struct recorder {
    struct runtime *runtime;
    struct recorded_line waiting; /* for the next transaction */
    struct recorded_line writing; /* in the one under way */
    struct event *answer;         /* answers from the loop what needs no row */
    struct event *again;          /* after a lost connection */
    struct recorded_line ready;
    struct pg_request *request;
    struct pg_conn *conn;
    struct pg_pipeline *pipeline;
    int n_writing;
    int rows_at_once; /* one after a refusal, so that a bad row does not take others with it */
};

static void start(struct recorder *recorder);

static void answer_all(struct recorded_line *line)
{
    struct execution *execution;
    while ((execution = TAILQ_FIRST(line))) {
        TAILQ_REMOVE(line, execution, link);
        execution_answer(execution);
    }
}

static void on_answer(evutil_socket_t fd, short what, void *arg)
{
    struct recorder *recorder = arg;
    (void)fd;
    (void)what;
    answer_all(&recorder->ready);
}

/* An instance whose stop was perhaps not written is not left running: that is tried again for a
 * while. The row says by its version whether it was; its history row is not written twice. */
static void keep_stops(struct recorder *recorder)
{
    struct execution *execution = TAILQ_FIRST(&recorder->writing), *next;
    int64_t since_us = clock_monotonic_us() - recorder->runtime->options.look_up_us;
    struct timeval pause = clock_timeval_us(PAUSE_US);
    for (; execution; execution = next) {
        next = TAILQ_NEXT(execution, link);
        if (!instance_stop_needed(execution) || execution->ended_us < since_us)
            continue;
        execution->history_lost = true;
        TAILQ_REMOVE(&recorder->writing, execution, link);
        TAILQ_INSERT_TAIL(&recorder->waiting, execution, link);
        event_add(recorder->again, &pause);
    }
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    struct recorder *recorder = arg;
    (void)fd;
    (void)what;
    if (!recorder->conn && !recorder->request && !TAILQ_EMPTY(&recorder->waiting))
        start(recorder);
}

static void finish(struct recorder *recorder)
{
    if (recorder->conn)
        pg_pool_give(recorder->runtime->pool, recorder->conn);
    recorder->conn = NULL;
    answer_all(&recorder->writing);
    if (!event_pending(recorder->again, EV_TIMEOUT, NULL))
        on_again(-1, 0, recorder);
}

static void on_written(struct pg_answer *answer, void *arg)
{
    struct recorder *recorder = arg;
    bool refused = answer->fault.kind && !answer->connection_lost;
    if (refused && recorder->n_writing > 1) {
        recorder->rows_at_once = 1;
        TAILQ_CONCAT(&recorder->writing, &recorder->waiting, link);
        TAILQ_CONCAT(&recorder->waiting, &recorder->writing, link);
        finish(recorder);
        return;
    }
    if (!refused && TAILQ_EMPTY(&recorder->waiting))
        recorder->rows_at_once = ROWS_AT_ONCE;
    if (answer->fault.kind && recorder->runtime->options.log)
        log_line(recorder->runtime->options.log, LOG_LEVEL_WARNING, "runtime",
                 "history rows were not written: %s", answer->fault.text);
    if (answer->connection_lost)
        keep_stops(recorder);
    finish(recorder);
}

static void on_connection(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct recorder *recorder = arg;
    struct history history;
    struct instance_stops stops;
    struct fault failed;
    struct execution *execution;
    (void)fault;
    recorder->request = NULL;
    recorder->conn = conn;
    history_init(&history);
    instance_stops_init(&stops);
    recorder->n_writing = 0;
    for (int n = 0; n < recorder->rows_at_once && (execution = TAILQ_FIRST(&recorder->waiting));
         n++) {
        TAILQ_REMOVE(&recorder->waiting, execution, link);
        TAILQ_INSERT_TAIL(&recorder->writing, execution, link);
        if (!execution->history_lost)
            history_add_dropped(&history, execution);
        if (instance_stop_needed(execution))
            instance_stops_add(&stops, execution);
        recorder->n_writing = n + 1;
    }
    pg_pipeline_clear(recorder->pipeline);
    pg_pipeline_begin(recorder->pipeline);
    bool wanted = conn &&
                  history_add_statements(&history, recorder->runtime->process_id,
                                         recorder->pipeline, &failed) &&
                  instance_stops_add_statement(&stops, recorder->pipeline, &failed) &&
                  pg_pipeline_length(recorder->pipeline) > 1;
    pg_pipeline_commit(recorder->pipeline);
    bool sent =
        wanted && pg_conn_send(conn, recorder->pipeline, ANSWER_US, on_written, recorder, &failed);
    history_done(&history);
    instance_stops_done(&stops);
    if (!conn)
        keep_stops(recorder);
    if (!sent)
        finish(recorder);
}

static void start(struct recorder *recorder)
{
    struct fault fault;
    if (pg_pool_take(recorder->runtime->pool, PG_POOL_ORDINARY, CONNECTION_WAIT_US, on_connection,
                     recorder, &recorder->request, &fault))
        return;
    TAILQ_CONCAT(&recorder->ready, &recorder->waiting, link);
    event_active(recorder->answer, EV_TIMEOUT, 0);
}

void recorder_add(struct recorder *recorder, struct execution *execution)
{
    execution->state = EXECUTION_RECORDING;
    bool silent = execution->job_lost || execution->replayed ||
                  (execution->workflow->definition->history == HISTORY_NONE &&
                   !instance_stop_needed(execution));
    if (silent || !pg_pool_server_version(recorder->runtime->pool)) {
        TAILQ_INSERT_TAIL(&recorder->ready, execution, link);
        event_active(recorder->answer, EV_TIMEOUT, 0);
        return;
    }
    TAILQ_INSERT_TAIL(&recorder->waiting, execution, link);
    if (!recorder->conn && !recorder->request)
        start(recorder);
}

void recorder_abandon(struct recorder *recorder)
{
    if (recorder->request)
        pg_pool_cancel(recorder->request);
    if (recorder->conn)
        pg_pool_give(recorder->runtime->pool, recorder->conn);
    recorder->request = NULL;
    recorder->conn = NULL;
    answer_all(&recorder->writing);
    answer_all(&recorder->waiting);
    answer_all(&recorder->ready);
}

bool recorder_new(struct runtime *runtime, struct recorder **out, struct fault *fault)
{
    struct recorder *recorder = calloc(1, sizeof *recorder);
    if (!recorder)
        return fault_no_memory(fault);
    recorder->runtime = runtime;
    recorder->rows_at_once = ROWS_AT_ONCE;
    TAILQ_INIT(&recorder->waiting);
    TAILQ_INIT(&recorder->writing);
    TAILQ_INIT(&recorder->ready);
    recorder->pipeline = pg_pipeline_new();
    recorder->answer = event_new(runtime->base, -1, 0, on_answer, recorder);
    recorder->again = event_new(runtime->base, -1, 0, on_again, recorder);
    if (!recorder->pipeline || !recorder->answer || !recorder->again) {
        recorder_free(recorder);
        return fault_no_memory(fault);
    }
    *out = recorder;
    return true;
}

void recorder_free(struct recorder *recorder)
{
    if (!recorder)
        return;
    if (recorder->answer)
        event_free(recorder->answer);
    if (recorder->again)
        event_free(recorder->again);
    pg_pipeline_free(recorder->pipeline);
    free(recorder);
}
