/*
 * One version of a definition made ready to run: its Lua compiled, its tables looked up.
 */
#pragma once
#include "catalogue.h"
#include "definition.h"
#include "plain_input.h"
#include "task.h"

#include <sys/queue.h>

struct execution;
struct pg_request;
struct runtime;

struct activity_plan {
    const struct activity *activity;
    struct expression *lock_context; /* NULL = the whole system */
    struct plain_input plain_lock;   /* the same, if it is so plain */
    struct expression *guard;        /* NULL = always */
    struct chunk *script;            /* NULL = nothing to run */
    struct expression **rules;       /* as activity->navigation; NULL = always */
    bool spreads;                    /* learnt, anew each time: see batch_rows_take_spread */
    bool runs_long; /* learnt, anew each time: its script takes longer than it may beside others */
    bool needs_alone;      /* learnt: its script wants a transaction of its own */
    bool needs_lease;      /* learnt: its script asks for lock.token */
    int n_early_missed;    /* in a row: see batch_early.h */
    int64_t early_from_us; /* none runs early before that */
};

/* True if it holds its locks by a lease, over several transactions. */
bool activity_plan_takes_lease(const struct activity_plan *plan);

struct data_plan {
    const struct data_declaration *declaration;
    struct expression **values; /* one per key column (or where column of a list) */
    struct plain_input *plain;  /* the same, those that are so plain */
    const struct table *table;  /* once tables_known */
    int *columns;               /* of the keys, indexes into table->columns */
};

enum workflow_tables {
    TABLES_UNKNOWN,
    TABLES_ASKED, /* a look-up is under way */
    TABLES_KNOWN,
};

struct workflow {
    struct runtime *runtime;
    struct definition *definition; /* owned */
    int version;
    struct activity_plan *activities; /* as definition->activities */
    struct data_plan *data;           /* as definition->data */
    bool retired;                     /* the store has another text: for those that have it alone */
    bool has_lists;                   /* its executions run alone */
    enum workflow_tables tables;
    TAILQ_HEAD(, execution) awaiting_tables;
    struct pg_request *tables_request; /* of the look-up, until it has a connection */
    struct pg_conn *tables_conn;       /* lent for the look-up */
    int n_looks_lost;                  /* connections that it lost in a row */
    int64_t tables_until_us;           /* KNOWN: looked up again after that */
    struct fault tables_fault;         /* UNKNOWN: what the last look-up found wrong */
    LIST_ENTRY(workflow) link;
};

/* Compiles every piece. definition is owned by the workflow on success. */
MUST_CHECK bool workflow_new(struct runtime *runtime, struct sandbox *sandbox,
                             struct definition *definition, int version, struct workflow **out,
                             struct fault *fault);
void workflow_free(struct workflow *workflow);

/* Reads the look-ups of all its tables (results in the order of definition->data) and checks the
 * keys: FAULT_INVALID with the definition's place. */
MUST_CHECK bool workflow_learn_tables(struct workflow *workflow, struct catalogue *catalogue,
                                      const char *own_schema, PGresult *const *results,
                                      struct fault *fault);

/* From what the catalogue holds already. False if that is not all, or does not fit: then the tables
 * are looked up as ever, which tells why. */
MUST_CHECK bool workflow_recall_tables(struct workflow *workflow,
                                       const struct catalogue *catalogue);

/* After a change of the schema: look them up again before the next run. */
void workflow_forget_tables(struct workflow *workflow);
