/*
 * A host's runtime: executions of published workflows on one event loop and one database.
 * Any number of runtimes, in any number of processes, may share a database.
 *
 *   runtime_new --> runtime_start --> runtime_publish / runtime_find --> runtime_submit ... -->
 * runtime_free
 *
 * Nothing here may be called from another thread than the loop's.
 */
#pragma once
#include "definition.h"
#include "log.h"
#include "result.h"

struct event_base;
struct runtime;
struct sandbox;
struct workflow; /* one version of a definition, ready to run here */

struct runtime_options {
    const char *conninfo;       /* libpq connection string or URI; copied */
    const char *schema;         /* [a-z_][a-z0-9_]{0,62}; copied */
    const struct log *log;      /* kept */
    int pool_size;              /* connections, the reserved one among them; at least 2 */
    int waiters;                /* of them, at most so many may wait for locks */
    int64_t queue_after_us;     /* a head refused for longer joins PostgreSQL's own queue */
    int batch_members_max;      /* executions of one transaction */
    int batch_entries_max;      /* advisory locks of one transaction */
    int64_t connect_timeout_us; /* of one attempt */
    int64_t look_up_us;         /* at least so long is asked what became of a lost commit */
    int64_t ownership_us;       /* a host silent for so long loses its instances and jobs */
    bool unnamed_only;          /* no prepared statements: for poolers that lose them */
};

/* Pool 12 with a quarter for waiters, 50 ms, 128 members, 1024 entries, 5 s, 10 s. */
struct runtime_options runtime_default_options(void);

/* *out is yours to runtime_free. Connects to nothing yet. */
MUST_CHECK bool runtime_new(struct event_base *base, const struct runtime_options *options,
                            struct runtime **out, struct fault *fault);

/* Connects, migrates the schema if needed, and starts the host's own timers. Runs the loop until
 * that is done: for start-up. wait_us: how long to bear a database that is starting or full.
 * Fails with FAULT_DATABASE or FAULT_CANCELLED. */
MUST_CHECK bool runtime_start(struct runtime *runtime, int64_t wait_us, struct fault *fault);

/* Executions under way are cancelled: their done is called with STATUS_UNKNOWN where a commit may
 * have been sent, otherwise with STATUS_FAILED. */
void runtime_free(struct runtime *runtime);

/* The Lua state in which definitions for this runtime are read. Borrowed. */
struct sandbox *runtime_sandbox(struct runtime *runtime);

/* Publishes a definition if its text differs from the latest published version (equal: takes no
 * lock and changes nothing), under the lock path $definitions/NAME, waiting up to 30 s. base is the
 * version the change was made from, -1 = any: another latest version is FAULT_CONFLICT.
 * definition is owned by the runtime on success. *out is borrowed until runtime_free.
 * *published tells whether a version was added. Runs the loop; not inside a callback. */
MUST_CHECK bool runtime_publish(struct runtime *runtime, struct definition *definition, int base,
                                const char *published_by, struct workflow **out, bool *published,
                                struct fault *fault);

/* The latest published version of a workflow. Runs the loop; not inside a callback.
 * FAULT_MISSING if there is none. */
MUST_CHECK bool runtime_find(struct runtime *runtime, const char *name, struct workflow **out,
                             struct fault *fault);

const struct definition *workflow_definition(const struct workflow *workflow);
int workflow_version(const struct workflow *workflow);

/* The lock paths that an activity would take, as `latchkey key` prints them: evaluates its lock
 * context over input (and data, NULL = none) without a database. *paths are the canonical texts,
 * each and the array yours to free; none if the activity takes no lock. */
MUST_CHECK bool workflow_key(struct sandbox *sandbox, const struct definition *definition,
                             const struct activity *activity, const json_t *input,
                             const json_t *data, const char *schema, char ***paths, int *n_paths,
                             struct fault *fault);

/* result is lent for the call. Called exactly once, from the loop. */
typedef void runtime_done_fn(const struct result *result, void *arg);

struct submission {
    struct workflow *workflow;
    const json_t *input; /* an object; a reference is kept */
    const char *id;      /* instance id as UUID text, copied; NULL = drawn here */
    const char *key;     /* idempotency key, 1 to 255 bytes of UTF-8; copied; NULL = none */
    const char *job;     /* that it comes from, copied; NULL = none. Its commit deletes the job */
    bool alone;          /* without neighbours in its transactions */
    runtime_done_fn *done;
    void *arg;
};

/* Starts a new instance. Bad input and lock contexts are told through done, as every outcome is.
 * Fails only for memory. */
MUST_CHECK bool runtime_submit(struct runtime *runtime, const struct submission *submission,
                               struct fault *fault);

struct delivery {
    const char *instance;  /* its id as UUID text; copied */
    const char *event;     /* copied; NULL = the instance is resumed where it stopped */
    const json_t *payload; /* of the event; a reference is kept; NULL = null */
    const char *job;       /* as in struct submission */
    bool alone;
    runtime_done_fn *done;
    void *arg;
};

/* Sends an event to an idle instance, or runs on one that failed, was blocked, or whose host died
 * with nobody to take over. Which host ran it before does not matter. An instance that does not
 * take the event now is STATUS_BLOCKED with its true state, one that does not exist STATUS_MISSING.
 * Fails only for memory, or while the host stops. */
MUST_CHECK bool runtime_deliver(struct runtime *runtime, const struct delivery *delivery,
                                struct fault *fault);

struct background_options {
    int jobs_max;    /* background executions of this host at a time */
    int64_t care_us; /* how often timers and silent hosts are looked for */
};

/* 64 jobs, 1 s. */
struct background_options runtime_default_background(void);

/* From now on the host runs background jobs, fires timers and takes over what died with others. */
MUST_CHECK bool runtime_work(struct runtime *runtime, const struct background_options *options,
                             struct fault *fault);

/* Takes no more background work; what runs goes on. runtime_n_running tells when all is over. */
void runtime_drain(struct runtime *runtime);

/* Tells the database that this host is over, so that others need not wait for its silence. Runs the
 * loop; before runtime_free. */
void runtime_retire(struct runtime *runtime);

/* Leaves a new instance to the background: a job, which any host may take. Told STATUS_QUEUED once
 * that is committed, with the id that the instance will have; bad input is told as STATUS_INVALID.
 * Fails only for memory, or while the host stops. */
MUST_CHECK bool runtime_enqueue(struct runtime *runtime, const struct submission *submission,
                                int priority, struct fault *fault);

int runtime_n_running(const struct runtime *runtime); /* submitted and not yet answered */

/* Which host this is: drawn anew each start. */
const char *runtime_process_id(const struct runtime *runtime);

/* Runs one read-only query on the host's reserved connection: for commands that list. Runs the
 * loop; not inside a callback. *out is the PGresult, yours to PQclear. */
struct pg_result;
MUST_CHECK bool runtime_query(struct runtime *runtime, const char *text, int n_params,
                              const char *const *params, struct pg_result **out,
                              struct fault *fault);
