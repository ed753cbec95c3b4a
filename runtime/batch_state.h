/* What the files of a batch share: batch.c (life, members), batch_take.c, batch_tries.c,
 * batch_run.c, batch_ask.c (requests of scripts), batch_action.c, batch_save.c, batch_lease.c,
 * batch_error.c. */
#pragma once
#include "batch.h"
#include "commit_lookup.h"
#include "lock_tries.h"
#include "script.h"

enum {
    BATCH_REGION_BYTES_MAX = 256 << 20,
    DEADLINE_BYTES = 48,
    NO_STATEMENT = -1,
    BATCH_GRACE_US = 2 * 1000 * 1000, /* after the server's own limits: the answer counts as lost */
    BATCH_ROW_WAIT_US = 50 * 1000, /* one member's foreign row lock may not stop its neighbours */
};

enum batch_state {
    BATCH_CONNECTING, /* awaits a connection */
    BATCH_TAKING,     /* awaits begin, limits and tries, and the loads; or the wait */
    BATCH_LOADING,    /* a waited grant: awaits the limits and the loads */
    BATCH_RUNNING,    /* scripts run; awaits nothing, the loop's turn, or the end of a sleep */
    BATCH_ASKING,     /* awaits what a script asked of the database */
    BATCH_CHAINING,   /* awaits saves, tries and loads between two activities of a chain */
    BATCH_SAVING,     /* awaits saves and commit */
    BATCH_LEAVING,    /* awaits ROLLBACK */
    BATCH_LOOKING_UP, /* the commit's answer was lost: awaits what became of it */
    BATCH_BROKEN,     /* the connection was lost: awaits whether somebody broke a lock */
    BATCH_LEASING,    /* the rows of a lease are written: awaits the answer, then their commit */
    BATCH_FETCHING,  /* holds a lease: awaits a connection, for a request, the end or the release */
    BATCH_RELEASING, /* awaits that the rows of its lease are deleted: nothing was kept */
    BATCH_OVER,
};

/* What becomes of a member when the batch ends. */
enum member_fate {
    FATE_OPEN,    /* not decided: has not run, or is running */
    FATE_KEPT,    /* ran well: its changes are committed with the batch */
    FATE_DROPPED, /* ended without changes; its outcome is set */
    FATE_REFUSED, /* did not get its lock */
    FATE_ASIDE,   /* runs later, and gives up its place; see delay_us */
    FATE_AGAIN,   /* runs again, in its place; see delay_us */
};

struct member {
    struct execution *execution;
    enum member_fate fate;
    bool granted; /* its locks were waited for, by itself or by one that covers them */
    int64_t delay_us;
    bool leased; /* REFUSED: a lease was in the way, for so long at most */
    int64_t lease_us;
    int *slots; /* of batch_rows, one per data declaration; NULL before they are asked for */
    struct script *script;
    struct member *asks_as; /* an earlier one with the same locks, whose try is its own; or NULL */
    enum lock_try answer;   /* to its try as a group */
    int64_t answer_us;
    struct member *next;
};

struct batch {
    struct runtime *runtime;
    enum batch_kind kind;
    enum batch_state state;
    struct pg_request *request;
    struct pg_conn *conn;
    struct pg_pipeline *pipeline;
    struct region region;
    struct batch_rows *rows;
    struct member *members; /* in their order */
    struct member **members_end;
    struct member *spare; /* the next one's memory, so that admitting cannot fail */
    int n_members;
    int n_entries;          /* advisory locks */
    struct member *running; /* its script runs, asks or sleeps */
    struct event *timer;
    struct commit_lookup *lookup;
    struct batch_broken *broken;   /* the question whether a lock was broken, once it was asked */
    struct batch_lease *lease;     /* NULL: its locks are the transaction's */
    char attempt[UUID_TEXT_BYTES]; /* of the commit mark */
    char deadline[DEADLINE_BYTES]; /* by the database's clock */
    int64_t sent_us;               /* when the tries, or the loads after a wait, were sent */
    int64_t granted_us;
    int64_t slack_us;    /* the database's deadline is at most so much earlier than ours */
    int64_t deadline_us; /* by ours, not before the database's */
    int64_t wake_us;     /* the script sleeps until then */
    int64_t lost_us;     /* when the commit's answer was lost; 0 = it was not */
    int64_t waiting_us;  /* the smallest waiting timeout of the members */
    /* indexes of statements in the pipeline in flight */
    int at_begin, at_try, at_granted, at_look, at_jobs, at_instances, at_keys, at_commit, at_ask,
        at_kept;                   /* gives the row that an execution by itself has saved */
    int64_t read_us;               /* when that row was loaded */
    const struct table *ask_table; /* of the request under way */
    int ask_slot;
    bool early;        /* its script runs before the locks are asked for: batch_early.h */
    bool opened_lone;  /* by sql/batch_open_lone.sql */
    bool limits_stand; /* those of batch_open.sql, unchanged */
    bool joined;       /* it has waited: the locks of who comes now are tried by keys */
    bool ran_sql;      /* a script's own: the session may not be as it was */
    bool chains;       /* the running member has the locks of its next activity: run that */
    bool committed;
    bool failing; /* what is in memory must not be saved: nothing but ROLLBACK */
    LIST_ENTRY(batch) link;
};

/* The only place where batch->state changes. */
void batch_enter(struct batch *batch, enum batch_state state);

/* True if it carries one execution: only then does an error of the database count for it. */
bool batch_is_alone(const struct batch *batch);

/* How long it may wait for a row that somebody has locked. */
int64_t batch_row_wait_us(const struct batch *batch, int64_t left_us);

/* Sends batch->pipeline; an answer that fails on the way is told to done as a lost connection. */
void batch_send(struct batch *batch, int64_t timeout_us, pg_answer_fn *done);

/* Steps, each the continuation of the one before. */
void batch_take(struct batch *batch);
void batch_run(struct batch *batch); /* starts, or goes on where a script stopped */
void batch_save(struct batch *batch);
void batch_commit(struct batch *batch);
void batch_leave(struct batch *batch);
void batch_end(struct batch *batch);

/* Gives its connection back, if it has one. */
void batch_give_connection(struct batch *batch);

/* The running member's script asks for something. */
void batch_ask(struct batch *batch);

/* The running member's activity is a native action. */
void batch_act(struct batch *batch);

/* The running member's script is over; what it logged stays readable. */
void batch_end_running(struct batch *batch);

/* Nothing of the batch will be committed: every member runs again by itself. Those that had ended
 * without changes too, since they may have looked at what is undone now. */
void batch_again_one_by_one(struct batch *batch, int64_t pause_us);

/* The database refused, or the connection went, before a commit was sent: nothing has happened. */
void batch_failed(struct batch *batch, const struct pg_answer *answer);

/* Keeps what a member's script has changed so far; later members see it. */
MUST_CHECK bool batch_keep_changes(struct batch *batch, struct member *member, struct fault *fault);

/* Adds BEGIN and the limits of a transaction; its deadline is published as so far off. */
void batch_add_begin(struct batch *batch, const char *begin, int64_t publish_us);

/* Adds BEGIN and sql/batch_open_early.sql. False if its locks are too many for that; then the
 * pipeline must not be sent. */
bool batch_add_early_open(struct batch *batch, bool text_varies);

/* The row that proves the commit of batch->attempt. */
void batch_add_mark(struct batch *batch);

/* The last statements before a COMMIT: whatever was deferred, the look at the clock. */
void batch_add_commit_checks(struct batch *batch);

/* Adds a statement without parameters. */
void batch_add_plain(struct batch *batch, const char *text);

/* Adds a statement that ends the transaction. What a script's own SQL has left in a session that
 * is ours no longer goes with it. */
void batch_add_end(struct batch *batch, const char *text);

/* A period in whole milliseconds for the server, at least 1: 0 would be for ever. */
int64_t batch_whole_ms(int64_t us);

/* Everyone who is not decided, or was to be kept, ends with this. */
void batch_drop_all(struct batch *batch, enum execution_status status, const char *reason);

/* Adds the limits of what is left to the deadline. */
void batch_add_limits(struct batch *batch);

/* Members that stand behind a refused one, or one that runs again, on conflicting paths share its
 * fate. */
void batch_hold_back(struct batch *batch);

/* Members that were refused leave the batch, and wait on while it lasts. Some member must have been
 * granted its locks. */
void batch_give_back_refused(struct batch *batch);

/* Decides for one member. */
void member_drop(struct member *member, enum execution_status status, const char *reason);
void member_drop_for_fault(struct member *member, const struct fault *fault);
void member_again(struct member *member, bool alone, int64_t delay_us);
