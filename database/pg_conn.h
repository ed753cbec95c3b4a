/*
 * One connection to PostgreSQL on a libevent loop: non-blocking, in pipeline mode, one pipeline in
 * flight. Prepares each statement text once and remembers it.
 */
#pragma once
#include "pg_fault.h"
#include "pg_pipeline.h"

#include <stdint.h>

struct event_base;
struct pg_conn;

struct pg_conn_options {
    const char *conninfo;         /* connection string or URI; "" = the PG* variables; copied */
    const char *schema;           /* copied */
    const char *application_name; /* copied */
    int64_t connect_timeout_us;   /* 0 = none */
    int64_t answer_bytes_max;     /* of one pipeline, about; 0 = any: pg_fault_of_size */
    bool unnamed_only;            /* no prepared statements, as behind a pooler */
};

/* Called exactly once, from the loop, never before pg_conn_open has returned. fault NULL = up. */
typedef void pg_conn_up_fn(struct pg_conn *conn, const struct fault *fault, void *arg);

/* Opens a connection. *out is yours to pg_conn_close at any time, also from inside a callback.
 * Fails only for memory or an unreadable conninfo (FAULT_INVALID); all else goes to up. */
MUST_CHECK bool pg_conn_open(struct event_base *base, const struct pg_conn_options *options,
                             pg_conn_up_fn *up, void *arg, struct pg_conn **out,
                             struct fault *fault);

/* Closes at once. A pipeline in flight is forgotten: its done is not called. NULL is fine. */
void pg_conn_close(struct pg_conn *conn);

/* What came back for a pipeline. Valid during done only, unless the results are taken. */
struct pg_answer {
    /* One per statement; NULL where none came. After a failure those of later statements are
     * PGRES_PIPELINE_ABORTED. Set one to NULL to keep it. */
    PGresult **results;
    int n_results;
    struct fault fault;   /* FAULT_NONE: every statement succeeded */
    int failed;           /* index of the statement that failed; -1 if none, the connection did, or
                             what the Sync commits where no BEGIN was sent */
    int warned;           /* index of the last statement with a WARNING; -1 if none */
    bool connection_lost; /* the connection broke: what was sent may or may not have happened */
    bool nothing_sent;    /* with connection_lost: it had broken before; nothing happened */
};

typedef void pg_answer_fn(struct pg_answer *answer, void *arg);

/* Sends a pipeline and a Sync. The pipeline's content is lent for the call. done runs exactly once
 * from the loop, unless the connection is closed first. timeout_us 0 = none; when it passes the
 * connection is broken and done told connection_lost. A broken connection is told by done as well,
 * with nothing_sent. Fails, without calling done, only for memory. The connection must not be busy.
 */
MUST_CHECK bool pg_conn_send(struct pg_conn *conn, const struct pg_pipeline *pipeline,
                             int64_t timeout_us, pg_answer_fn *done, void *arg,
                             struct fault *fault);

bool pg_conn_is_idle(const struct pg_conn *conn);       /* up, no pipeline, no open transaction */
bool pg_conn_is_broken(const struct pg_conn *conn);     /* of no more use */
int64_t pg_conn_up_us(const struct pg_conn *conn);      /* since when it was */
int pg_conn_server_version(const struct pg_conn *conn); /* as PQserverVersion: 150018 */
int pg_conn_backend_pid(const struct pg_conn *conn);    /* 0 behind a pooler */

/* True if it ends at a pooler: each transaction, from its BEGIN to the Sync after its end, may have
 * another session of the server, which others have used before. Nothing is prepared there. */
bool pg_conn_is_pooled(const struct pg_conn *conn);

/* Notifications (LISTEN): payload is lent for the call. */
typedef void pg_notify_fn(const char *channel, const char *payload, void *arg);
void pg_conn_on_notify(struct pg_conn *conn, pg_notify_fn *notify, void *arg);

/* Runs the loop until a pipeline is answered: for commands and tests, never inside a callback.
 * *out holds the results, yours to pg_answer_done. Fails as the pipeline did. */
MUST_CHECK bool pg_conn_call(struct event_base *base, struct pg_conn *conn,
                             const struct pg_pipeline *pipeline, int64_t timeout_us,
                             struct pg_answer *out, struct fault *fault);
void pg_answer_done(struct pg_answer *answer);

/* Opens and waits, running the loop. */
MUST_CHECK bool pg_conn_open_now(struct event_base *base, const struct pg_conn_options *options,
                                 struct pg_conn **out, struct fault *fault);

/* Runs a script of several statements in one go, as one transaction unless it says otherwise.
 * Blocking: for start-up only. The text is rendered as PG_PREPARED ones are. */
MUST_CHECK bool pg_conn_run_script(struct pg_conn *conn, const char *text, struct fault *fault);
