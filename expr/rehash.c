#include "rehash.h"

#include "cpu_clock.h"

enum {
    NODE_BYTES = 24, /* Lua 5.4: a key with its value; parts for keys hold a power of two of them */
    NODES_MIN = 4096,
    OLD_NODES_MIN = 2048,
    ELEMENT_BYTES = 16, /* of arrays, whose sizes are powers of two as well */
    /* A key is put back within 0.1 us; with all keys in one chain it takes milliseconds. */
    FLOOR_US = 2000,
    KEYS_PER_US = 2,
};

static bool is_power(size_t bytes, size_t unit, size_t least)
{
    size_t n = bytes / unit;
    return bytes % unit == 0 && n >= least && (n & (n - 1)) == 0;
}

void rehash_allocated(struct rehash *rehash, size_t bytes)
{
    if (is_power(bytes, NODE_BYTES, NODES_MIN)) {
        rehash->new_bytes = bytes;
        rehash->began_cpu_us = cpu_clock_us();
    } else if (rehash->new_bytes && !is_power(bytes, ELEMENT_BYTES, 1)) {
        rehash->new_bytes = 0; /* a table was made, none grew */
    }
}

bool rehash_freed(struct rehash *rehash, size_t bytes)
{
    if (!rehash->new_bytes || !is_power(bytes, NODE_BYTES, OLD_NODES_MIN))
        return false;
    size_t most = bytes < rehash->new_bytes ? bytes : rehash->new_bytes;
    int64_t limit_us = FLOOR_US + (int64_t)(most / NODE_BYTES) / KEYS_PER_US;
    rehash->new_bytes = 0;
    return cpu_clock_us() - rehash->began_cpu_us > limit_us;
}
