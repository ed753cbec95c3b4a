/*
 * The tries of a batch's locks by keys: each advisory key once, however many members want it, in
 * the statement that begins the transaction (sql/batch_open.sql). What is refused is told by keys
 * too, and a member is refused with any of its own.
 *
 * Who is refused keeps what it got until the transaction ends: with one path, no more than shared
 * keys of what stands above it, which the others of the batch mostly hold as well. It does not keep
 * the path itself: a refused shared key ends the tries. Executions with several paths want theirs
 * together or not at all, and are tried by groups (lock_tries.h).
 */
#pragma once
#include "lock_set.h"
#include "pg_pipeline.h"
#include "region.h"
#include "text.h"

enum {
    KEY_TRIES_SEEN = 256, /* a power of two */
};

struct key_tries {
    struct text shared, exclusive, paths; /* arrays */
    int64_t seen[KEY_TRIES_SEEN];         /* shared keys; one that is forgotten is tried twice */
    int n_sets;
};

void key_tries_init(struct key_tries *tries);
void key_tries_done(struct key_tries *tries);
void key_tries_add(struct key_tries *tries, const struct lock_set *set);

struct transaction_limits {
    const char *waiting_ms; /* from now to the deadline, of one statement and of silence */
    const char *row_wait_ms;
    const char *tag; /* of the host */
};

/* Adds sql/batch_open.sql and, with any set, in a later statement the look for leases in the way of
 * their paths: the milliseconds that one is, or null. *at_look is not set without a set. No more
 * sets may be added. */
MUST_CHECK bool key_tries_add_open(struct key_tries *tries, const struct transaction_limits *limits,
                                   struct pg_pipeline *pipeline, int *at_open, int *at_look,
                                   struct fault *fault);

/* The tries alone, sql/batch_join.sql, and the look for leases. There must be a set. */
MUST_CHECK bool key_tries_add_join(struct key_tries *tries, struct pg_pipeline *pipeline,
                                   int *at_join, int *at_look, struct fault *fault);

/* The same for an execution by itself, whose locks are few: sql/batch_open_lone.sql. set may be
 * NULL, as above. False if they are too many; then nothing is added. */
bool key_tries_add_lone(const struct lock_set *set, const struct transaction_limits *limits,
                        struct pg_pipeline *pipeline, int *at_open, int *at_look);

/* True if they are not. */
bool key_tries_fit_lone(const struct lock_set *set);

/* Columns. */
enum {
    OPEN_DEADLINE,
    OPEN_GRANTED,     /* of an execution by itself */
    OPEN_REFUSED = 1, /* of others: two, the shared keys and the exclusive ones */
    JOIN_REFUSED = 0, /* likewise */
};

/* The same for one whose script has run already: sql/batch_open_early.sql, which fails without its
 * locks. text_varies: the text of a value that is saved or given back depends on settings.
 * lean: the server has no transaction_timeout, so sql/batch_open_early_lean.sql may do. */
bool key_tries_add_early(const struct lock_set *set, const struct transaction_limits *limits,
                         bool text_varies, bool lean, struct pg_pipeline *pipeline);

/* Keys that were refused, sorted. With any shared one, no exclusive one was tried. */
struct key_refusals {
    int64_t *shared, *exclusive;
    int n_shared, n_exclusive;
};

/* Reads them from two columns of an answer; their memory is the region's. */
MUST_CHECK bool key_refusals_read(struct key_refusals *refusals, const PGresult *tried, int column,
                                  struct region *region, struct fault *fault);

/* True if some lock of the set was refused. */
bool key_refusals_meet(const struct key_refusals *refusals, const struct lock_set *set);
