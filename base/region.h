/*
 * Memory with one common end: everything taken from a region is given back by region_done. For
 * things that are built piece by piece and die together: a definition, a batch.
 */
#pragma once
#include <stddef.h>

struct region_block;

struct region {
    struct region_block *newest;
    size_t used_bytes;  /* handed out so far */
    size_t limit_bytes; /* region_take fails above */
};

/* No memory is taken yet. */
void region_init(struct region *region, size_t limit_bytes);
void region_done(struct region *region);

/* Zeroed memory, aligned for any type; NULL over the limit or without memory. */
void *region_take(struct region *region, size_t n_bytes);

/* Copies. NULL over the limit or without memory. */
char *region_copy(struct region *region, const char *bytes, size_t n_bytes); /* adds a NUL */
char *region_copy_chars(struct region *region, const char *chars);
