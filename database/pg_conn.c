/*
 *   CONNECTING --up--> IDLE --send--> SENDING --flushed--> READING --sync--> IDLE
 *        \______________________any socket failure______________________/
 *                                     v
 *                                  BROKEN      (the pool replaces it)
 *
 * Only enter() changes conn->state; it alone arms the socket's events. SENDING reads too: a server
 * that cannot write its answers stops reading our statements. After PQconsumeInput everything
 * is drained before the socket is waited for again, since bytes already taken wake nobody.
 */
#include "pg_conn.h"

#include "clock.h"
#include "pg_connecting.h"
#include "pg_gate.h"
#include "pg_script.h"
#include "pg_slots.h"
#include "pg_statements.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum pg_conn_state {
    PG_CONNECTING, /* waits for the socket, as PQconnectPoll said */
    PG_IDLE,       /* waits for a pipeline; reads what the server says by itself */
    PG_SENDING,    /* waits until the socket takes the rest of the pipeline */
    PG_READING,    /* waits for the answers up to the Sync */
    PG_BROKEN,     /* waits for pg_conn_close */
};

struct pg_conn {
    struct event_base *base;
    PGconn *pq;
    enum pg_conn_state state;
    PostgresPollingStatusType polling;
    struct event *socket_event; /* on the present socket for the present state */
    struct event *timer;        /* limit of connecting or of the pipeline in flight */
    struct event *deferred;     /* tells a failure from the loop rather than inside a call */
    struct pg_statements *statements;
    struct pg_gate gate;
    pg_conn_up_fn *up;
    void *up_arg;
    int64_t up_us;
    pg_answer_fn *done;
    void *done_arg;
    pg_notify_fn *notify;
    void *notify_arg;
    struct pg_slots slots; /* of the pipeline in flight */
    struct pg_answer answer;
    int results_capacity;
    struct fault broken;     /* why the connection is of no more use */
    struct fault last_words; /* the FATAL that the server sent before it went away */
    bool worn;               /* its prepared statements are stale: not to be reused */
    bool pooled;             /* it ends at a pooler */
    bool *closed;            /* set while a callback runs: tells that it closed the connection */
};

static void on_socket(evutil_socket_t fd, short what, void *arg);

/* ---- state ---- */

static bool arm(struct pg_conn *conn, short what)
{
    int fd = PQsocket(conn->pq);
    if (conn->socket_event) {
        if (event_get_fd(conn->socket_event) == fd && event_get_events(conn->socket_event) == what)
            return true;
        event_free(conn->socket_event);
        conn->socket_event = NULL;
    }
    if (fd < 0)
        return false;
    conn->socket_event = event_new(conn->base, fd, what, on_socket, conn);
    return conn->socket_event && event_add(conn->socket_event, NULL) == 0;
}

static void disarm(struct pg_conn *conn)
{
    if (conn->socket_event)
        event_free(conn->socket_event);
    conn->socket_event = NULL;
}

static bool enter(struct pg_conn *conn, enum pg_conn_state state)
{
    conn->state = state;
    switch (state) {
    case PG_CONNECTING:
        disarm(conn); /* PQconnectPoll may have changed the socket under the same number */
        return arm(conn, conn->polling == PGRES_POLLING_WRITING ? EV_WRITE : EV_READ);
    case PG_IDLE:
    case PG_READING: return arm(conn, EV_READ | EV_PERSIST);
    case PG_SENDING: return arm(conn, EV_READ | EV_WRITE | EV_PERSIST);
    case PG_BROKEN:
        disarm(conn);
        if (conn->timer)
            event_del(conn->timer);
        return true;
    }
    return false;
}

/* ---- outcomes ---- */

/* Hands the outcome over. The slot is cleared first: done may send the next pipeline, or close. */
static void finish(struct pg_conn *conn)
{
    pg_answer_fn *done = conn->done;
    struct pg_answer answer = conn->answer;
    conn->done = NULL;
    conn->answer = (struct pg_answer){0};
    conn->results_capacity = 0;
    event_del(conn->timer);
    if (done)
        done(&answer, conn->done_arg);
    pg_answer_done(&answer);
}

static void finish_up(struct pg_conn *conn, const struct fault *fault)
{
    pg_conn_up_fn *up = conn->up;
    conn->up = NULL;
    conn->up_us = clock_monotonic_us();
    if (up)
        up(conn, fault, conn->up_arg);
}

/* The connection is of no more use; whoever waits on it is told, now. Last act of a caller. */
static void fail(struct pg_conn *conn, const struct fault *why)
{
    struct fault fault = conn->last_words.kind ? conn->last_words : *why;
    conn->broken = fault;
    enter(conn, PG_BROKEN);
    if (conn->up) {
        conn->done = NULL; /* ours */
        finish_up(conn, &fault);
    } else if (conn->done) {
        conn->answer.connection_lost = true;
        if (!conn->answer.fault.kind || conn->last_words.kind) {
            conn->answer.fault = fault;
            conn->answer.failed = -1;
        }
        finish(conn);
    }
}

static void fail_from_pq(struct pg_conn *conn)
{
    struct fault fault;
    if (conn->state == PG_CONNECTING)
        pg_fault_from_connecting(conn->pq, &fault);
    else
        pg_fault_from_broken(conn->pq, &fault);
    fail(conn, &fault);
}

static void on_deferred(evutil_socket_t fd, short what, void *arg)
{
    struct pg_conn *conn = arg;
    (void)fd;
    (void)what;
    if (conn->state == PG_BROKEN)
        fail(conn, &conn->broken);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct pg_conn *conn = arg;
    struct fault fault;
    (void)fd;
    (void)what;
    fault_set(&fault, FAULT_DATABASE, "%s",
              conn->state == PG_CONNECTING ? "no connection within the time allowed"
                                           : "no answer from the database within the time allowed");
    fail(conn, &fault);
}

/* What is being answered; NULL = the Sync. */
static const struct pg_slot *slot_now(const struct pg_conn *conn)
{
    return conn->slots.at < conn->slots.n ? &conn->slots.items[conn->slots.at] : NULL;
}

static void on_notice(void *arg, const PGresult *result)
{
    struct pg_conn *conn = arg;
    bool ends = pg_fault_ends_connection(result);
    if (ends && !conn->last_words.kind) /* a pooler adds its own to the server's */
        pg_fault_from_result(result, &conn->last_words);
    else if (!ends && conn->done && pg_fault_is_warning(result))
        conn->answer.warned =
            slot_now(conn) ? slot_now(conn)->statement : conn->answer.n_results - 1;
}

/* ---- reading ---- */

/* False when a callback closed the connection. */
static bool take_notifications(struct pg_conn *conn)
{
    PGnotify *note;
    bool closed = false;
    conn->closed = &closed;
    while (!closed && (note = PQnotifies(conn->pq))) {
        if (conn->notify)
            conn->notify(note->relname, note->extra, conn->notify_arg);
        PQfreemem(note);
    }
    if (!closed)
        conn->closed = NULL;
    return !closed;
}

static void mark_prepared(struct pg_statement_entry *entry, const PGresult *result)
{
    if (entry->state == PG_STATEMENT_SENT)
        entry->state =
            PQresultStatus(result) == PGRES_COMMAND_OK ? PG_STATEMENT_PREPARED : PG_STATEMENT_NEW;
}

static void note_failure(struct pg_conn *conn, const PGresult *result, int statement)
{
    struct fault fault;
    pg_fault_from_result(result, &fault);
    if (!conn->answer.fault.kind) {
        conn->answer.fault = fault;
        conn->answer.failed = statement;
    }
    if (pg_fault_ends_connection(result) && !conn->last_words.kind)
        conn->last_words = fault;
    conn->worn = conn->worn || pg_fault_wears(&fault);
}

/* What comes after the last statement is the Sync's: the commit of a pipeline that begins no
 * transaction itself may fail, and the server may end the connection there. */
static void keep_result(struct pg_conn *conn, PGresult *result)
{
    const struct pg_slot *slot = slot_now(conn);
    if (PQresultStatus(result) == PGRES_FATAL_ERROR)
        note_failure(conn, result, slot ? slot->statement : -1);
    if (slot && slot->prepares)
        mark_prepared(slot->prepares, result);
    if (!slot || slot->prepares || conn->answer.results[slot->statement])
        PQclear(result);
    else
        conn->answer.results[slot->statement] = result;
}

/* Takes every result that is in. True if the answer is complete. */
static bool drain(struct pg_conn *conn)
{
    while (!PQisBusy(conn->pq)) {
        PGresult *result = PQgetResult(conn->pq);
        if (!result) {
            if (conn->slots.at > conn->slots.n) /* beyond the Sync: libpq has no more */
                return false;
            conn->slots.at++;
        } else if (PQstatus(conn->pq) == CONNECTION_BAD && pg_fault_is_made_up(result)) {
            PQclear(result);
            return false;
        } else if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            return true;
        } else {
            keep_result(conn, result);
        }
    }
    return false;
}

static void fail_without_memory(struct pg_conn *conn)
{
    struct fault fault;
    fault_no_memory(&fault);
    fail(conn, &fault);
}

static void on_answerer(struct pg_answer *answer, void *arg)
{
    struct pg_conn *conn = arg;
    if (answer->fault.kind) {
        fail(conn, &answer->fault);
        return;
    }
    conn->pooled = atoi(PQgetvalue(answer->results[0], 0, 0)) != PQbackendPID(conn->pq);
    if (conn->pooled)
        pg_statements_unname(conn->statements);
    finish_up(conn, NULL);
}

/* A pooler lends its sessions and so gives process ids of its own making at the connecting. The
 * limit of connecting holds for this too: behind a pooler only the answer means that there is a
 * server. */
static void ask_who_answers(struct pg_conn *conn)
{
    struct pg_pipeline *pipeline = pg_pipeline_new();
    struct fault fault;
    if (pipeline)
        pg_pipeline_add(pipeline, PG_UNNAMED, PG_CONNECTING_WHO_TEXT, 0, NULL);
    if (!pipeline || !pg_conn_send(conn, pipeline, /* timeout_us= */ 0, on_answerer, conn, &fault))
        fail_without_memory(conn);
    pg_pipeline_free(pipeline);
}

static void step_connecting(struct pg_conn *conn)
{
    conn->polling = PQconnectPoll(conn->pq);
    if (conn->polling == PGRES_POLLING_FAILED) {
        fail_from_pq(conn);
    } else if (conn->polling != PGRES_POLLING_OK) {
        if (!enter(conn, PG_CONNECTING))
            fail_without_memory(conn);
    } else if (PQsetnonblocking(conn->pq, 1) != 0 || !PQenterPipelineMode(conn->pq) ||
               !enter(conn, PG_IDLE)) {
        fail_from_pq(conn);
    } else {
        PQsetErrorVerbosity(conn->pq, PQERRORS_DEFAULT);
        ask_who_answers(conn);
    }
}

/* Notifications come last: done is told of the pipeline that is over before anything else runs. */
static void finish_answered(struct pg_conn *conn)
{
    bool closed = false;
    if (!enter(conn, PG_IDLE)) {
        fault_no_memory(&conn->broken);
        enter(conn, PG_BROKEN);
    }
    conn->closed = &closed;
    finish(conn);
    if (closed)
        return;
    conn->closed = NULL;
    take_notifications(conn);
}

/* The rest is not read: a connection cannot go on in the middle of an answer. */
static void fail_over(struct pg_conn *conn)
{
    struct fault fault;
    pg_fault_of_size(conn->gate.most, &fault);
    if (!conn->answer.fault.kind) {
        conn->answer.fault = fault;
        conn->answer.failed = slot_now(conn) ? slot_now(conn)->statement : -1;
    }
    fail(conn, &fault);
}

enum {
    READS_PER_TURN = 16,
};

/* Reads and drains. False if the answer is complete or the connection failed: all is done. */
static bool take_input(struct pg_conn *conn)
{
    for (int i = 0; i < READS_PER_TURN; i++) {
        enum pg_gate_read read = pg_gate_read(&conn->gate, conn->pq);
        if (drain(conn)) {
            finish_answered(conn);
            return false;
        }
        if (read == PG_GATE_OVER) {
            fail_over(conn);
            return false;
        }
        if (read == PG_GATE_BROKEN || PQstatus(conn->pq) == CONNECTION_BAD) {
            fail_from_pq(conn);
            return false;
        }
        if (read == PG_GATE_READ)
            break;
    }
    return true;
}

/* PQflush reads too, past the gate, when nothing can be sent: it waits until something can. */
static void step_busy(struct pg_conn *conn, short what)
{
    if ((what & EV_READ) && !take_input(conn))
        return;
    if (conn->state != PG_SENDING || !(what & EV_WRITE))
        return;
    int unsent = PQflush(conn->pq);
    if (unsent < 0) {
        (void)drain(conn); /* libpq reads when it cannot send: last words may be in */
        fail_from_pq(conn);
    } else if (unsent == 0 && !enter(conn, PG_READING)) {
        fail_without_memory(conn);
    }
}

static void step_idle(struct pg_conn *conn)
{
    if (PQconsumeInput(conn->pq) == 1) {
        (void)PQisBusy(conn->pq); /* parses what came: notices, notifications, last words */
        if (!take_notifications(conn))
            return;
        if (conn->state != PG_IDLE) /* a callback sent a pipeline */
            return;
        if (PQstatus(conn->pq) != CONNECTION_BAD && !conn->last_words.kind)
            return;
    }
    fail_from_pq(conn);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct pg_conn *conn = arg;
    (void)fd;
    switch (conn->state) {
    case PG_CONNECTING: step_connecting(conn); break;
    case PG_SENDING:
    case PG_READING: step_busy(conn, what); break;
    case PG_IDLE: step_idle(conn); break;
    case PG_BROKEN: break;
    }
}

/* ---- requests ---- */

static bool reserve(struct pg_conn *conn, int n_statements)
{
    return pg_slots_reserve(&conn->slots, n_statements) &&
           pg_slots_reserve_results(&conn->answer.results, &conn->results_capacity, n_statements);
}

static void tell_later(struct pg_conn *conn)
{
    event_active(conn->deferred, EV_TIMEOUT, 0);
}

static void break_later(struct pg_conn *conn, const struct fault *why)
{
    conn->broken = *why;
    enter(conn, PG_BROKEN);
    tell_later(conn);
}

/* What the socket takes at once needs no other events than those of reading. libpq reads while it
 * sends: an answer that is in already wakes nobody. */
static bool start_sending(struct pg_conn *conn)
{
    int unsent = PQflush(conn->pq);
    if (unsent < 0)
        return false;
    if (unsent > 0)
        return enter(conn, PG_SENDING);
    if (!enter(conn, PG_READING))
        return false;
    if (!PQisBusy(conn->pq))
        event_active(conn->socket_event, EV_READ, 0);
    return true;
}

bool pg_conn_send(struct pg_conn *conn, const struct pg_pipeline *pipeline, int64_t timeout_us,
                  pg_answer_fn *done, void *arg, struct fault *fault)
{
    int n_statements = pg_pipeline_length(pipeline);
    assert(!conn->done && (n_statements > 0 || !pg_pipeline_ok(pipeline)));
    if (!pg_pipeline_ok(pipeline) || !reserve(conn, n_statements))
        return fault_no_memory(fault);
    memset(conn->answer.results, 0, (size_t)n_statements * sizeof *conn->answer.results);
    conn->answer = (struct pg_answer){
        .results = conn->answer.results, .n_results = n_statements, .failed = -1, .warned = -1};
    pg_gate_begin(&conn->gate);
    conn->done = done;
    conn->done_arg = arg;
    if (conn->state == PG_IDLE && conn->last_words.kind)
        break_later(conn, &conn->last_words);
    if (conn->state == PG_BROKEN) {
        conn->answer.nothing_sent = true;
        tell_later(conn);
        return true;
    }
    assert(conn->state == PG_IDLE);
    if (timeout_us) {
        struct timeval limit = clock_timeval_us(timeout_us);
        event_add(conn->timer, &limit);
    }
    if (!pg_slots_send(&conn->slots, conn->pq, conn->statements, pipeline) ||
        !start_sending(conn)) {
        struct fault why;
        pg_fault_from_broken(conn->pq, &why);
        (void)drain(conn);
        break_later(conn, &why);
    }
    return true;
}

/* ---- life ---- */

bool pg_conn_open(struct event_base *base, const struct pg_conn_options *options, pg_conn_up_fn *up,
                  void *arg, struct pg_conn **out, struct fault *fault)
{
    struct pg_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return fault_no_memory(fault);
    conn->base = base;
    conn->up = up;
    conn->up_arg = arg;
    conn->polling = PGRES_POLLING_WRITING;
    pg_gate_init(&conn->gate, options->answer_bytes_max);
    conn->timer = event_new(base, -1, 0, on_timer, conn);
    conn->deferred = event_new(base, -1, 0, on_deferred, conn);
    if (!conn->timer || !conn->deferred) {
        fault_no_memory(fault);
        goto failed;
    }
    if (!pg_connecting_start(options, &conn->pq, fault))
        goto failed;
    if (!pg_statements_new(options->schema, options->unnamed_only, &conn->statements, fault))
        goto failed;
    PQsetNoticeReceiver(conn->pq, on_notice, conn);
    if (options->connect_timeout_us) {
        struct timeval limit = clock_timeval_us(options->connect_timeout_us);
        event_add(conn->timer, &limit);
    }
    if (PQstatus(conn->pq) == CONNECTION_BAD || !enter(conn, PG_CONNECTING)) {
        struct fault why;
        pg_fault_from_connecting(conn->pq, &why);
        break_later(conn, &why);
    }
    *out = conn;
    return true;
failed:
    pg_conn_close(conn);
    return false;
}

void pg_conn_close(struct pg_conn *conn)
{
    if (!conn)
        return;
    if (conn->closed)
        *conn->closed = true;
    disarm(conn);
    if (conn->timer)
        event_free(conn->timer);
    if (conn->deferred)
        event_free(conn->deferred);
    pg_answer_done(&conn->answer);
    pg_statements_free(conn->statements);
    PQfinish(conn->pq);
    pg_gate_done(&conn->gate);
    pg_slots_done(&conn->slots);
    free(conn);
}

bool pg_conn_is_idle(const struct pg_conn *conn)
{
    return conn->state == PG_IDLE && !conn->worn && !conn->done &&
           PQtransactionStatus(conn->pq) == PQTRANS_IDLE;
}

bool pg_conn_is_broken(const struct pg_conn *conn)
{
    return conn->state == PG_BROKEN;
}

int64_t pg_conn_up_us(const struct pg_conn *conn)
{
    return conn->up_us;
}

int pg_conn_server_version(const struct pg_conn *conn)
{
    return PQserverVersion(conn->pq);
}

int pg_conn_backend_pid(const struct pg_conn *conn)
{
    return conn->pooled ? 0 : PQbackendPID(conn->pq);
}

bool pg_conn_is_pooled(const struct pg_conn *conn)
{
    return conn->pooled;
}

void pg_conn_on_notify(struct pg_conn *conn, pg_notify_fn *notify, void *arg)
{
    conn->notify = notify;
    conn->notify_arg = arg;
}

bool pg_conn_run_script(struct pg_conn *conn, const char *text, struct fault *fault)
{
    assert(conn->state == PG_IDLE && !conn->done);
    bool ok = pg_script_run(conn->pq, conn->statements, text, fault);
    if (PQstatus(conn->pq) == CONNECTION_BAD || PQsetnonblocking(conn->pq, 1) != 0 ||
        !PQenterPipelineMode(conn->pq)) {
        pg_fault_from_broken(conn->pq, &conn->broken);
        enter(conn, PG_BROKEN);
    }
    return ok;
}
