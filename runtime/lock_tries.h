/*
 * Tries of locks by groups, each of which gets all or nothing, and the wait for those of one: for
 * each group (the locks of one execution) its advisory keys, in their order, and its paths, one
 * group after the other. Most batches do with key_tries.h, which costs the server far less.
 */
#pragma once
#include "lock_set.h"
#include "pg_pipeline.h"
#include "text.h"

struct lock_tries {
    struct text sizes, keys, exclusive, path_counts, paths; /* arrays */
    int n_groups;
};

void lock_tries_init(struct lock_tries *tries);
void lock_tries_done(struct lock_tries *tries);
void lock_tries_add(struct lock_tries *tries, const struct lock_set *set);

/* Adds the try of all groups, which looks for leases in their way too. Its one value is a text[]
 * with an element a group: see lock_tries_read. Returns the statement's index. No more groups may
 * be added. */
MUST_CHECK bool lock_tries_add_try(struct lock_tries *tries, struct pg_pipeline *pipeline, int *at,
                                   struct fault *fault);

/* The same for the wait of the only group, and in a later statement the look for leases: the
 * milliseconds that one is in the way, or null. */
MUST_CHECK bool lock_tries_add_wait(struct lock_tries *tries, struct pg_pipeline *pipeline,
                                    int64_t budget_ms, int *at_wait, int *at_look,
                                    struct fault *fault);

enum lock_try {
    LOCK_TRY_GRANTED,
    LOCK_TRY_REFUSED, /* somebody holds one of the locks */
    LOCK_TRY_LEASED,  /* a lease is in the way */
};

/* Reads the next element; *at begins as the array's text. *lease_us: LEASED, for so long at most,
 * 0 = it has expired. */
enum lock_try lock_tries_read(const char **at, int64_t *lease_us);
