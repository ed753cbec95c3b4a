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

enum {
    RUNTIME_BUSY_POLL_US_MAX = 10 * 1000,
};

struct runtime_options {
    const char *conninfo;   /* libpq connection string or URI; copied */
    const char *schema;     /* [a-z_][a-z0-9_]{0,62}; copied */
    const struct log *log;  /* kept */
    int pool_size;          /* connections, the reserved one among them; at least 2 */
    int waiters;            /* of them, at most so many may wait for locks */
    int64_t queue_after_us; /* a head refused for longer joins PostgreSQL's own queue */
    int batch_members_max;  /* executions of one transaction */
    int batch_share_least; /* it leaves some of those that are ready to other connections above that
                            */
    int64_t batch_linger_us; /* who had better wait for company waits so long: see pace.h */
    const char *schedstat;   /* kept; NULL: the kernel's, see crowding.h */
    int64_t row_memory_us;   /* a row that was loaded so long ago is not assumed to stand: see
                                batch_early.h; 0 = none ever is */
    int busy_poll_us; /* the loop stays awake so long for an answer to an execution by itself: see
                         busy_poll.h; 0 = never */
    /* advisory locks of one transaction; up to the default it is lowered to the host's share of the
     * server's lock table */
    int batch_entries_max;
    int64_t connect_timeout_us; /* of one attempt */
    int64_t lease_poll_us;      /* who waits for a lease looks at least so often */
    int leases_max;       /* held at a time, about: those on their way come on top. Others wait */
    int64_t look_up_us;   /* at least so long is asked what became of a lost commit */
    int64_t ownership_us; /* a host silent for so long loses its instances and jobs */
    int64_t answer_bytes_max; /* what one round trip may bring from the database, about */
    int64_t watchdog_us;      /* Lua that does not give way for so much processor time ends the
                                 process; 0 = never */
    bool unnamed_only;        /* no prepared statements, also where no pooler is noticed */
};

/* Pool 12 with a quarter for waiters, 50 ms, 128 members, 1 s, 750 us, 1024 entries, 5 s, 1 s, 1000
 * leases, 10 s, 32 MiB, 5 s. */
struct runtime_options runtime_default_options(void);

/* *out is yours to runtime_free. Connects to nothing yet. */
MUST_CHECK bool runtime_new(struct event_base *base, const struct runtime_options *options,
                            struct runtime **out, struct fault *fault);

/* fault NULL = done. Called exactly once, from the loop, or within runtime_free. */
typedef void runtime_present_fn(const struct fault *fault, void *arg);

/* Connects, migrates the schema if needed, and starts the host's own timers. wait_us: how long to
 * bear a database that is starting or full. Told FAULT_DATABASE, FAULT_EXHAUSTED, or
 * FAULT_CANCELLED by runtime_free; then it may be called again. Not while it, or runtime_leave, is
 * under way. */
MUST_CHECK bool runtime_enter(struct runtime *runtime, int64_t wait_us, runtime_present_fn *done,
                              void *arg, struct fault *fault);

/* The same, running the loop until it is done: for start-up, not inside a callback. */
MUST_CHECK bool runtime_start(struct runtime *runtime, int64_t wait_us, struct fault *fault);

/* Before runtime_start: the definition will be published, by runtime_publish, and run at once. Its
 * tables and the version published last are looked at, and a connection is opened, while the host
 * starts. What another host publishes within the two seconds after that look, runtime_publish may
 * take for younger than this publishing. */
void runtime_expect(struct runtime *runtime, const struct definition *definition);

/* Tells the database that this host is over, so that others need not wait for its silence, nor for
 * the leases of its scripts, which can no longer save. Before runtime_free; a failure does no harm.
 */
MUST_CHECK bool runtime_leave(struct runtime *runtime, runtime_present_fn *done, void *arg,
                              struct fault *fault);

/* The same, running the loop. */
void runtime_retire(struct runtime *runtime);

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

/* The same from the loop. Told exactly once, never before this returned; workflow NULL: fault says
 * why. definition is owned by the runtime from here on, unless this fails. published_by is copied.
 */
typedef void runtime_published_fn(struct workflow *workflow, bool published,
                                  const struct fault *fault, void *arg);
MUST_CHECK bool runtime_publish_start(struct runtime *runtime, struct definition *definition,
                                      int base, const char *published_by,
                                      runtime_published_fn *done, void *arg, struct fault *fault);

/* report is lent for the call; NULL: fault says why. Told exactly once, from the loop, never before
 * the call that asked has returned. */
typedef void runtime_report_fn(const json_t *report, const struct fault *fault, void *arg);

/* Publishes what has changed in the *.yaml, *.yml and *.json files of a directory, under the lock
 * path $definitions, without waiting for it. Both strings are copied. The report:
 *   {"status":"reloaded","files":3,"published":[{"workflow","version","file"}],"unchanged":[NAME],
 *    "removed":[{"workflow","file"}],"problems":[{"file","line","column","severity","message"}]}
 * A broken file keeps no other from being published; one that is gone is told and changes nothing.
 * "already-in-progress": somebody holds the lock; what would have been read is read by that one,
 * or by this runtime when it is free, if it lives a little longer. FAULT_INVALID if the directory
 * cannot be read. */
MUST_CHECK bool runtime_reload(struct runtime *runtime, const char *directory,
                               const char *published_by, runtime_report_fn *done, void *arg,
                               struct fault *fault);

/* Has every host read these workflows again (none named = all) and indexes their triggers anew,
 * under the lock paths $definitions/ID, all or none, without waiting. ids are copied. The report:
 *   {"status":"refreshed","refreshed":[NAME],"not-found":[ID]}, or "already-in-progress" with
 * nothing done. FAULT_INVALID for more ids than may be locked at once. */
MUST_CHECK bool runtime_refresh(struct runtime *runtime, const char *const *ids, int n_ids,
                                runtime_report_fn *done, void *arg, struct fault *fault);

/* Whether a publishing, a reload or a refresh is under way, also one whose caller was told. */
bool runtime_is_changing_definitions(const struct runtime *runtime);

/* Keeps this host at what is published: hears of changes on one connection more, and loads new
 * versions while work goes on. directory: requests to reload that nobody carried out are, from
 * there; NULL = none. Once, after runtime_start. Strings are copied. */
MUST_CHECK bool runtime_watch(struct runtime *runtime, const char *directory,
                              const char *published_by, struct fault *fault);

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
    const struct log_caller *caller; /* for its log lines; copied; NULL = nobody to be named */
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
    const struct log_caller *caller;
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
    int jobs_max;      /* background executions of this host at a time */
    int jobs_fast_max; /* the same while so many are done within a moment; not above it: no more */
    int64_t care_us;   /* how often timers and silent hosts are looked for */
    /* history, completed instances, idempotency keys, dead jobs, broken locks; 0 = for ever */
    int64_t keep_history_ms;
    int64_t sweep_us; /* how often what is older is looked for */
};

/* 64 jobs, 512 while they are done fast, 1 s, 30 days, 10 minutes. */
struct background_options runtime_default_background(void);

/* From now on the host runs background jobs, fires timers and takes over what died with others. */
MUST_CHECK bool runtime_work(struct runtime *runtime, const struct background_options *options,
                             struct fault *fault);

/* Takes no more background work; what runs goes on. runtime_n_running tells when all is over. */
void runtime_drain(struct runtime *runtime);
bool runtime_is_draining(const struct runtime *runtime); /* for those that take work from outside */

/* Leaves a new instance to the background: a job, which any host may take. Told STATUS_QUEUED once
 * that is committed, with the id that the instance will have; bad input is told as STATUS_INVALID.
 * Fails only for memory, or while the host stops. */
MUST_CHECK bool runtime_enqueue(struct runtime *runtime, const struct submission *submission,
                                int priority, struct fault *fault);

/* Lets a dead job run again, with all its attempts. Told STATUS_QUEUED, STATUS_MISSING (no such
 * job), STATUS_BLOCKED (it is not dead) or STATUS_FAILED, with the reason; lent for the call. Told
 * exactly once, from the loop. */
typedef void runtime_retried_fn(enum execution_status status, const char *reason, void *arg);
MUST_CHECK bool runtime_retry_job(struct runtime *runtime, const char *id, runtime_retried_fn *done,
                                  void *arg, struct fault *fault);

/* Starts the workflows whose triggers name an event: jobs, made in one transaction. payload is the
 * input that they get, an object; a reference is kept. started: an array of
 * {"workflow","instance"}, the ids that the instances will have; lent for the call, empty if no
 * trigger names the event. NULL: fault says why; FAULT_UNKNOWN when the commit's answer was lost.
 * Told exactly once, from the loop. Fails for a payload that cannot be stored, memory, or while the
 * host stops. */
typedef void runtime_emitted_fn(const json_t *started, const struct fault *fault, void *arg);
MUST_CHECK bool runtime_emit(struct runtime *runtime, const char *event, const json_t *payload,
                             runtime_emitted_fn *done, void *arg, struct fault *fault);

/* What a host counts from its start, and how it stands. */
enum {
    RUNTIME_BUCKETS = 20,
    RUNTIME_SIZES = 9, /* the last: more than 128 */
};
struct runtime_histogram {
    int64_t buckets[RUNTIME_BUCKETS]; /* up to runtime_bucket_us(i), beyond the one before */
    int64_t n;
    int64_t sum_us;
};
struct runtime_figures {
    int64_t ended[STATUS_COUNT]; /* runs of instances that were answered */
    struct runtime_histogram waited;
    struct runtime_histogram held;
    int64_t n_batches;            /* transactions that committed */
    int64_t n_members;            /* executions that they carried */
    int64_t sizes[RUNTIME_SIZES]; /* transactions with up to 1, 2, 4, ... of them, and more */
    int64_t n_attempts;     /* runs of activities, also those that were refused or taken back */
    int64_t n_early;        /* executions whose script ran before its locks: batch_early.h */
    int64_t n_early_missed; /* of such scripts, those that had to run again */
    int64_t n_busy_polls;   /* answers that the loop stayed awake for: busy_poll.h */
    bool crowded;           /* this machine is short of processors: see crowding.h */
    int pool_open;
    int pool_free;
    int pool_max;
    int entries_max; /* advisory locks that a batch may take now */
    /* how the executions that run now stand */
    int n_queued;  /* behind conflicting ones of this host; or tables or history are awaited */
    int n_ready;   /* for the next transaction */
    int n_delayed; /* refused by others: tried again soon */
    int n_leased;  /* refused for a lease */
    int n_slot;    /* wait for a waiter connection */
    int n_taken;   /* in a transaction, or waiting inside PostgreSQL */
    /* as last seen, every few seconds; lock_table_size 0 = never */
    int64_t lock_table_used;
    int64_t lock_table_size;
    int n_hosts; /* that live */
};
void runtime_read_figures(const struct runtime *runtime, struct runtime_figures *out);
int64_t runtime_bucket_us(int bucket);

int runtime_n_running(const struct runtime *runtime); /* submitted and not yet answered */

/* Which host this is: drawn anew each start. */
const char *runtime_process_id(const struct runtime *runtime);

/* Runs one read-only query on the host's reserved connection: for commands that list. Runs the
 * loop; not inside a callback. *out is the PGresult, yours to PQclear. */
struct pg_result;
MUST_CHECK bool runtime_query(struct runtime *runtime, const char *text, int n_params,
                              const char *const *params, struct pg_result **out,
                              struct fault *fault);

/* The same from the loop, on an ordinary connection; text is kept, params are copied. rows is the
 * PGresult, lent for the call; NULL: fault says why. Told exactly once, from the loop, never before
 * this returned. */
typedef void runtime_inquired_fn(const struct pg_result *rows, const struct fault *fault,
                                 void *arg);
MUST_CHECK bool runtime_inquire(struct runtime *runtime, const char *text, int n_params,
                                const char *const *params, runtime_inquired_fn *done, void *arg,
                                struct fault *fault);
