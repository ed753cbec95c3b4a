/*
 * Hosts for tests of time, failure and several hosts: each is a runtime of its own, in the test's
 * process (several may share its event loop) or in a child process. What a child found comes back
 * through shared memory. A mistake ends the test, or the child with a status that peer_join sees.
 */
#pragma once
#include "log.h"
#include "postgres_fixture.h"
#include "runtime.h"

#include <sys/types.h>

struct event;
struct event_base;

/* A database and a plain session in it. A group has one of its own, from stage_open to stage_close;
 * stage_reset, the setup of each test, ends what the last one left: its sessions, its tables, what
 * its hosts have persisted. The table counter has the rows 1 to 1000 with value 0. */
struct stage {
    char conninfo[FIXTURE_CONNINFO_BYTES];
    PGconn *conn;
};

int stage_open(void **state);
int stage_reset(void **state);
int stage_close(void **state);
void stage_fill(PGconn *conn); /* makes and fills the table */

int64_t stage_total(const struct stage *stage); /* of all counters */

/* Advisory locks of latchkey's sessions and others in this database. */
int64_t stage_n_granted(PGconn *conn);
int64_t stage_n_waiting(PGconn *conn);
void stage_until_nothing_held(PGconn *conn);           /* by anybody */
void stage_until_held(PGconn *conn, const char *path); /* exclusively */
void stage_until_waiting(PGconn *conn, int64_t n);     /* at least so many wait in PostgreSQL */

struct peer {
    struct event_base *base;
    struct event *tick; /* so that the loop turns and a test may look */
    struct runtime *runtime;
    struct log log;
    bool owns_base;
    bool is_child;
};

/* NULL options: the defaults. conninfo is the one of the call. */
void peer_open(struct peer *peer, const char *conninfo, const struct runtime_options *options);

/* A second runtime on the loop of another one, which must be closed last. */
void peer_open_beside(struct peer *peer, struct peer *other, const char *conninfo,
                      const struct runtime_options *options);
void peer_close(struct peer *peer);

/* Ends the test, or the child. */
void peer_must(const struct peer *peer, bool ok, const char *what);

/* A workflow of one activity whose input is {id: integer, path?: array, n?: integer} and whose data
 * is row = counter[id]. A member that is NULL has the default that is named. */
struct recipe {
    const char *name;         /* count */
    const char *lock_context; /* input.path or {"message", input.id}; "" = none: the whole system */
    const char *key;          /* of row, without double quotes; input.id */
    const char *waiting;      /* 5s */
    const char *acquire;      /* 10s */
    const char *on_conflict;  /* retry */
    const char *hold;         /* transaction */
    const char *guard;        /* true */
    const char *script;       /* one line; data.row.value = data.row.value + 1 */
};

struct workflow *peer_publish(struct peer *peer, const struct recipe *recipe);

/* How an execution ended. */
struct ending {
    int n_told;
    int place; /* how many were told before */
    enum execution_status status;
    int attempts;
    int64_t token;
    int64_t waited_us;
    int64_t held_us;
    int64_t told_us; /* on the monotonic clock */
    char reason[256];
    char output[256];
    int *n_told_before;
};

/* input is a JSON object, formatted. ending is kept until told; places count in *n_told, NULL is
 * fine. */
void peer_submit(struct peer *peer, struct workflow *workflow, struct ending *ending, int *n_told,
                 const char *input, ...) FORMAT_ARGS(5, 6);

/* Turns the loop until all that was submitted is told; more than timeout_ms is a mistake. */
void peer_finish(struct peer *peer, int timeout_ms);
void peer_turn_for(struct peer *peer, int ms);
void peer_turn_until(struct peer *peer, fixture_ask_fn *ask, void *arg, int timeout_ms);
void peer_turn_until_true(struct peer *peer, PGconn *conn, const char *sql, int timeout_ms);

void peer_turn_until_held(struct peer *peer, PGconn *conn, const char *path);

/* Submits, waits, and returns how it ended. */
struct ending peer_run(struct peer *peer, struct workflow *workflow, const char *input);

/* Keeps executions of one workflow going. */
struct load {
    struct peer *peer;
    struct workflow *workflow;
    const char *const *inputs; /* in turn */
    int n_inputs;
    int concurrency;
    long n_wanted; /* 0: until it is stopped */
    bool stopped;
    long n_started;
    long counts[STATUS_COUNT];
    int64_t worst_us; /* from the start of one to its end */
    char reason[256]; /* of the last that did not complete */
};

void load_start(struct load *load);
void load_stop(struct load *load, int timeout_ms); /* waits for what is under way */

/* Memory that parent and children share, zeroed; yours to unshare. */
void *share_new(size_t n_bytes);
void share_free(void *shared, size_t n_bytes);

/* Runs body with a peer of its own in a child process. */
typedef void peer_body_fn(struct peer *peer, void *shared);
pid_t peer_fork(const char *conninfo, const struct runtime_options *options, peer_body_fn *body,
                void *shared);
void peer_join(pid_t pid); /* the child must have ended well */

void nap_ms(int ms);

/* Long forms of tests: LATCHKEY_TEST_LONG is set. */
int long_or(int long_value, int short_value);

/* A statement that another session sends and does not wait for. */
void session_send(PGconn *conn, const char *sql);
bool session_is_done(void *conn);  /* a fixture_ask_fn */
void session_finish(PGconn *conn); /* takes its results, which must be good */
