/*
 * A run of an instance: one activity after the other, from its submission to its answer. Each
 * activity passes through
 *
 *   PREPARING --> QUEUED --> READY --> TAKEN --> RECORDING --> answered and freed
 *       ^           ^          ^         |  \________________________^  (kept: recorded already)
 *       |           |          \_________/ refused, or to be run again: it keeps its place
 *       |           \--------------------/
 *       \-------------------------------/ committed, and another activity follows
 *
 * Who waits costs this struct, its lock set and its ticket; everything else is made when it runs.
 */
#pragma once
#include "instance.h"
#include "lock_queue.h"
#include "result.h"
#include "runtime.h"
#include "text.h"
#include "workflow.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

enum execution_state {
    EXECUTION_PREPARING, /* awaits the look-up of its tables */
    EXECUTION_QUEUED,    /* conflicting executions of this process are ahead */
    EXECUTION_READY,     /* its turn: awaits a connection, a moment or a waiter's slot */
    EXECUTION_TAKEN,     /* belongs to a batch */
    EXECUTION_RECORDING, /* kept nothing; awaits that its history row is written */
};

/* Where a READY execution stands. */
enum ready_line {
    READY_NOWHERE,
    READY_PLAIN,   /* for a batch with others */
    READY_ALONE,   /* for a transaction of its own */
    READY_LEASING, /* the same, in which it takes a lease: of these the host holds so many at most
                    */
    READY_DELAYED, /* its timer brings it back */
    READY_LEASED,  /* refused for a lease: its timer, or the end of a lease, brings it back */
    READY_SLOT,    /* refused for long: awaits a waiter connection */
    READY_LINES,
};

/* Why it runs. */
enum execution_origin {
    ORIGIN_START,  /* a new instance */
    ORIGIN_EVENT,  /* an event for an idle instance */
    ORIGIN_RESUME, /* an instance that stopped, or whose host did */
};

struct execution_chain;

struct execution {
    struct runtime *runtime;
    struct workflow *workflow;
    struct activity_plan *plan;
    char id[UUID_TEXT_BYTES];
    enum execution_origin origin;
    bool first; /* the activity is the run's first one */
    bool parks; /* runs nothing: its first activity waits for an event */
    char
        job[UUID_TEXT_BYTES]; /* that it comes from, until the first commit deletes it; "" = none */
    char *key;                /* idempotency key; owned; NULL = none */
    bool key_bound;           /* its row is there already, for this instance */
    bool replayed;            /* nothing ran: `recorded` is the answer */
    char follow[UUID_TEXT_BYTES]; /* the instance that has the key and stopped: go on with it */
    json_t *recorded;             /* owned; the answer as the key's row has it; NULL = none */
    json_t *input;
    json_t *event; /* owned: {"name", "payload"}, for the first activity; NULL = none */
    struct instance instance;
    struct lock_set *locks;      /* NULL = the activity takes no lock */
    struct lock_set *next_locks; /* taken instead once it has let go; NULL = the same again */
    int n_relocks;
    bool has_learnt;               /* next_locks or locks are more than its activity asks for */
    struct execution_chain *chain; /* activities that wait for their commit; NULL = none */
    struct lock_ticket *ticket;    /* NULL without locks, and before it queues */
    enum execution_state state;
    enum ready_line line;
    bool alone;          /* this run: a transaction of its own */
    bool tries_as_group; /* its locks: somebody else kept a batch with it from them */
    bool looked_anew;    /* its tables, after the database did not know one or a column */
    bool aside;          /* out of the queues until its timer, so that others may pass */
    bool out_of_time;    /* its acquire time passed while it was taken */
    bool job_lost;       /* the job is not this process's any more: it ends without a trace */
    bool overtaken;      /* its instance is not as it was when the run began */
    bool history_lost;   /* its history row is perhaps written: not once more */
    int attempts;        /* runs of the activity so far */
    int failures;        /* of them, those that failed and were tried again */
    int polls;           /* refusals in a row */
    int slices;          /* turns it had at a waiter connection */
    int64_t token;       /* of the lease that its last run held; 0 = none */
    int64_t submitted_us;
    int64_t acquire_until_us;       /* no lock by then: locked */
    int64_t run_until_us;           /* re-runs end then: acquire plus waiting timeout */
    int64_t not_before_us;          /* DELAYED: until then */
    int64_t refused_since_us;       /* 0 = not refused since it came to its turn */
    int64_t granted_us;             /* of the last run; 0 = never */
    struct event timer;             /* end of the delay, or of the acquire time */
    TAILQ_ENTRY(execution) by_time; /* in runtime->executions */
    TAILQ_ENTRY(execution) link;    /* in the line, the workflow's waiting list or the recorder's */

    enum execution_status status; /* the outcome, once known */
    enum result_cause cause;
    char *reason; /* owned; NULL = none */
    int64_t ended_us;

    struct log_caller *caller; /* owned; NULL = nobody to be named */
    runtime_done_fn *done;
    void *arg;
};

/* Checks the input and evaluates the lock context. A wrong one is no fault here: the execution
 * comes back with its outcome set and *refused true. Fails only for memory. */
MUST_CHECK bool execution_new(struct runtime *runtime, const struct submission *submission,
                              struct execution **out, bool *refused, struct fault *fault);
void execution_free(struct execution *execution);

/* A run of an instance that has a row: an event for it, or its next activity. */
struct execution_of_instance {
    struct workflow *workflow;
    const char *id;
    enum execution_origin origin;
    const char *activity;            /* that it stands before */
    json_t *input;                   /* a reference is kept */
    json_t *event;                   /* a reference is kept; NULL = none */
    const char *key;                 /* copied; NULL = none */
    const char *job;                 /* copied; NULL = none */
    bool alone;                      /* without neighbours in its transactions */
    struct instance instance;        /* its values are taken over, also on failure */
    const struct log_caller *caller; /* copied; NULL = nobody to be named */
    runtime_done_fn *done;
    void *arg;
};
MUST_CHECK bool execution_new_of_instance(struct runtime *runtime,
                                          const struct execution_of_instance *about,
                                          struct execution **out, bool *refused,
                                          struct fault *fault);

/* True if it gets all of its locks together or none: several paths, or tries_as_group. */
bool execution_wants_group(const struct execution *execution);

/* Gives up its place among the executions of this process, and its timer. */
void execution_leave_queue(struct execution *execution);

/* The activity is tried again after a failure: its times count anew. */
void execution_renew_time(struct execution *execution);

/* What it did is committed: the instance is what it made of it. True if another activity follows;
 * then it stands before that one, to be prepared, or *refused is true and its outcome set. */
bool execution_committed(struct execution *execution, bool *refused);

/* An input object as the workflow declares it, a null field being an absent one, that PostgreSQL
 * can store. Fails with FAULT_INVALID. */
MUST_CHECK bool execution_check_input(const struct definition *definition, const json_t *input,
                                      struct fault *fault);

/* Sets the outcome; reason is copied (NULL or "" = none). Without memory the reason is dropped. The
 * cause is CAUSE_DATABASE until another is set. */
void execution_set_outcome(struct execution *execution, enum execution_status status,
                           const char *reason);

/* The answer as it stands. paths must have room for LOCK_SET_PATHS_MAX; all else is borrowed. */
void execution_describe(const struct execution *execution, const char **paths,
                        struct result *result);

/* A line about it: with its workflow, activity, instance, job and caller. */
void execution_log(const struct execution *execution, enum log_level level, const char *part,
                   const char *text);

/* Tells done and frees the execution. */
void execution_answer(struct execution *execution);

/* The user's lock paths, latchkey's own left out; texts must have room for LOCK_SET_PATHS_MAX. */
int execution_paths(const struct execution *execution, const char **texts);

/* The paths, joined by line feeds, for its history row. */
void execution_add_paths(const struct execution *execution, struct text *out);

/* True if its activity holds its locks by a lease. */
bool execution_takes_lease(const struct execution *execution);

const struct activity *execution_activity(const struct execution *execution);
