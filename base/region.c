#include "region.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_BYTES = 4096,
};

struct region_block {
    struct region_block *older;
    size_t used;
    size_t capacity;
    alignas(max_align_t) unsigned char bytes[];
};

void region_init(struct region *region, size_t limit_bytes)
{
    *region = (struct region){.limit_bytes = limit_bytes};
}

void region_done(struct region *region)
{
    while (region->newest) {
        struct region_block *older = region->newest->older;
        free(region->newest);
        region->newest = older;
    }
    region->used_bytes = 0;
}

void *region_take(struct region *region, size_t n_bytes)
{
    size_t align = alignof(max_align_t);
    if (n_bytes > region->limit_bytes || region->used_bytes > region->limit_bytes - n_bytes)
        return NULL;
    size_t rounded = (n_bytes + align - 1) / align * align;
    struct region_block *block = region->newest;
    if (!block || block->capacity - block->used < rounded) {
        size_t capacity = rounded > BLOCK_BYTES ? rounded : BLOCK_BYTES;
        block = malloc(sizeof *block + capacity);
        if (!block)
            return NULL;
        block->used = 0;
        block->capacity = capacity;
        block->older = region->newest;
        region->newest = block;
    }
    void *taken = block->bytes + block->used;
    block->used += rounded;
    region->used_bytes += rounded;
    return memset(taken, 0, rounded);
}

char *region_copy(struct region *region, const char *bytes, size_t n_bytes)
{
    char *copy = n_bytes < region->limit_bytes ? region_take(region, n_bytes + 1) : NULL;
    if (copy && n_bytes)
        memcpy(copy, bytes, n_bytes);
    return copy;
}

char *region_copy_chars(struct region *region, const char *chars)
{
    return region_copy(region, chars, strlen(chars));
}
