/*
 * The locks of one execution: its paths, covered ones dropped, and the advisory locks that take
 * them, in the one total order. A value in one block of memory; a waiter costs little more.
 */
#pragma once
#include "lock_path.h"

struct lock_set;

enum {
    LOCK_SET_PATHS_MAX = 32, /* latchkey's own paths do not count */
};

/* One advisory lock: shared on every proper prefix, exclusive on the path itself. */
struct lock_entry {
    int64_t key;
    bool exclusive;
    const char *text; /* canonical path of this entry, "*" for the system; borrowed from the set */
};

/* paths are lent; name_space is the schema. Duplicates and covered paths are dropped.
 * *out is yours to free. Fails with FAULT_INVALID without any path, and when more than
 * LOCK_SET_PATHS_MAX of a user's paths remain. */
MUST_CHECK bool lock_set_new(struct lock_path *const *paths, int n_paths, const char *name_space,
                             struct lock_set **out, struct fault *fault);
void lock_set_free(struct lock_set *set);

int lock_set_n_paths(const struct lock_set *set);
const char *lock_set_path(const struct lock_set *set, int i); /* canonical text, in order */

/* Each key once: a path is never also the prefix of another. */
int lock_set_n_entries(const struct lock_set *set);
const struct lock_entry *lock_set_entry(const struct lock_set *set, int i);

/* True if whoever holds `held` holds all that `wanted` asks for. */
bool lock_set_covers(const struct lock_set *held, const struct lock_set *wanted);
bool lock_set_conflicts(const struct lock_set *a, const struct lock_set *b);
bool lock_set_equal(const struct lock_set *a, const struct lock_set *b);
