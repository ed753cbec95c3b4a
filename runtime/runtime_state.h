/*
 * What the parts of a runtime share. Only runtime.c makes and unmakes it.
 */
#pragma once
#include "busy_poll.h"
#include "catalogue.h"
#include "pg_pool.h"
#include "runtime.h"
#include "uuid.h"
#include "workflow.h"

#include <sys/queue.h>

struct scheduler;
struct recorder;
struct job_enqueue;
struct registered_action;
struct job_retry;
struct job_runner;
struct overseer;
struct presence;
struct table_foresight;
struct retention;
struct watchdog;
struct lease_bell;
struct lease_sweep;
struct workflow_loader;
struct definition_watch;
struct lock_names;
struct lock_table;
struct row_memory;
struct batch;
struct script_place;

enum {
    HOST_TAG_BYTES = 24,
};

struct runtime {
    struct event_base *base;
    struct runtime_options options; /* strings owned */
    const char *schema;             /* options.schema */
    struct sandbox *sandbox;
    struct scope *scope;         /* of lock contexts and keys, see execution_names.h */
    struct script_place *places; /* that no script has now */
    int n_places;
    struct pg_pool *pool;
    struct catalogue *catalogue;
    struct workflow_loader *loader;    /* versions ready to run */
    struct scheduler *scheduler;       /* who runs next, and where */
    struct recorder *recorder;         /* history of what kept nothing */
    struct job_runner *runner;         /* background work; NULL = none is done here */
    struct retention *retention;       /* forgets what is old; NULL = none is done here */
    struct overseer *overseer;         /* heartbeat; ends overdue sessions */
    struct presence *presence;         /* it comes or goes; NULL = neither is under way */
    struct table_foresight *foresight; /* NULL = none is under way */
    int64_t foreseen_until_us;
    struct foreseen_version {
        int number; /* 0 = none */
        char checksum[CHECKSUM_TEXT_BYTES];
        int64_t until_us;
    } foreseen_version;
    struct watchdog *watchdog;       /* NULL = none, or not started */
    struct lock_names *lock_names;   /* tells paths of locks that somebody waits for */
    struct lock_table *lock_table;   /* how much of the server's lock table a batch may take */
    struct busy_poll busy_poll;      /* for the answers to an execution by itself */
    struct row_memory *row_memory;   /* of executions by themselves: batch_early.h */
    struct lease_bell *lease_bell;   /* tells and hears that a lease has ended */
    struct lease_sweep *lease_sweep; /* removes expired leases */
    struct uuid_source uuids;
    char process_id[UUID_TEXT_BYTES];
    char tag[HOST_TAG_BYTES]; /* "latchkey 0123abcd": how its sessions are seen in the server */
    int n_running;
    struct runtime_figures figures; /* what is counted of them */
    bool draining;                  /* takes no more background work */
    bool stopping;
    LIST_HEAD(, workflow) workflows;
    TAILQ_HEAD(, execution) executions; /* the oldest first */
    LIST_HEAD(, batch) batches;
    LIST_HEAD(, session_reset) resets;
    LIST_HEAD(, instance_lookup) lookups;
    LIST_HEAD(, job_enqueue) enqueues;
    LIST_HEAD(, registered_action) actions;
    LIST_HEAD(, job_retry) retries;
    LIST_HEAD(, lock_peek) peeks;
    LIST_HEAD(, runtime_inquiry) inquiries;
    LIST_HEAD(, event_emit) emissions;
    struct definition_watch *watch; /* NULL = this host does not watch */
    LIST_HEAD(, publishing) publishings;
    LIST_HEAD(, definition_reload) reloads;
    LIST_HEAD(, definition_refresh) refreshes;
};

/* Counts what an execution came to, and a transaction that committed. */
void runtime_count(struct runtime *runtime, const struct result *result);
void runtime_count_batch(struct runtime *runtime, int n_members);

/* The outcome is set: writes the history row where that was not done, and answers. */
void runtime_conclude(struct runtime *runtime, struct execution *execution, bool recorded);

/* Its activity is committed: the next one, or the answer. */
void runtime_go_on(struct runtime *runtime, struct execution *execution);

/* Puts an execution into the queues, once its workflow's tables are known. */
void runtime_prepare(struct runtime *runtime, struct execution *execution);

/* Whether a workflow's tables are known. If not, they are being looked up, or *fault says what is
 * wrong with them. */
bool runtime_has_tables(struct workflow *workflow, struct fault *fault);

/* At the end: those who wait for a publishing, a reload or a refresh are told. */
void runtime_stop_definitions(struct runtime *runtime);

/* The schema changed under us: descriptions of tables are looked up anew. */
void runtime_forget_tables(struct runtime *runtime);
