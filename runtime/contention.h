/*
 * The paths for which this host has waited in PostgreSQL's queue not long ago: who is refused one
 * of them joins that queue at once and does not poll first.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct contended_path;

/* All zero is none. */
struct contention {
    struct contended_path *paths;
};

void contention_done(struct contention *contention);

/* For the next second. Without memory it is not noted, which only costs the path a few polls. */
void contention_mark(struct contention *contention, int64_t key);
bool contention_has(const struct contention *contention, int64_t key);
