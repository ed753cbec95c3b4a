/*
 * Internal to expr: finds tables whose keys collide. Lua's hash of numbers is not seeded, so a
 * script can choose keys that all fall into one chain; each time such a table grows, Lua puts every
 * key back in one go, in quadratic time and without an instruction that the hook would see. The
 * allocator sees where that begins (a larger part for the keys is made) and where it ends (the old
 * one is freed). Between them nothing is allocated but the same table's array.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rehash {
    size_t new_bytes;     /* of the part that is being filled; 0 = none */
    int64_t began_cpu_us; /* processor time of the thread */
};

/* A new block was allocated. */
void rehash_allocated(struct rehash *rehash, size_t bytes);

/* A block was freed. True if it ended a growth that took far too long for its keys. */
bool rehash_freed(struct rehash *rehash, size_t bytes);
