/*
 * The paths for which this host has waited in PostgreSQL's queue not long ago: who is refused one
 * of them joins that queue at once and does not poll first.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct contended_path;
struct lock_set;

/* All zero is none. */
struct contention {
    struct contended_path *paths;
};

void contention_done(struct contention *contention);

/* What a set of locks is noted by: its first exclusive key. 0 for none. */
int64_t contention_key(const struct lock_set *locks);

/* For the next second. Without memory it is not noted, which only costs the path a few polls. */
void contention_mark(struct contention *contention, int64_t key);
bool contention_has(const struct contention *contention, int64_t key);
