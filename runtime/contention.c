#include "contention.h"

#include "clock.h"
#include "lock_set.h"

#include <stdlib.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum {
    CONTENDED_US = 1000 * 1000,
    PATHS_MAX = 10000, /* then those whose time is over are dropped; more are not noted */
};

struct contended_path {
    int64_t key;
    int64_t until_us;
    UT_hash_handle hh;
};

static void drop(struct contention *contention, int64_t until_us)
{
    struct contended_path *path, *next;
    HASH_ITER(hh, contention->paths, path, next)
    {
        if (path->until_us < until_us) {
            HASH_DEL(contention->paths, path);
            free(path);
        }
    }
}

int64_t contention_key(const struct lock_set *locks)
{
    for (int i = 0; i < lock_set_n_entries(locks); i++)
        if (lock_set_entry(locks, i)->exclusive)
            return lock_set_entry(locks, i)->key;
    return 0;
}

void contention_done(struct contention *contention)
{
    drop(contention, INT64_MAX);
}

static struct contended_path *find(const struct contention *contention, int64_t key)
{
    struct contended_path *path = NULL;
    HASH_FIND(hh, contention->paths, &key, sizeof key, path);
    return path;
}

static struct contended_path *add(struct contention *contention, int64_t key, int64_t now_us)
{
    if (HASH_COUNT(contention->paths) >= PATHS_MAX)
        drop(contention, now_us);
    if (HASH_COUNT(contention->paths) >= PATHS_MAX)
        return NULL;
    struct contended_path *path = calloc(1, sizeof *path);
    if (!path)
        return NULL;
    path->key = key;
    HASH_ADD(hh, contention->paths, key, sizeof key, path);
    if (!path->hh.tbl) {
        free(path);
        return NULL;
    }
    return path;
}

void contention_mark(struct contention *contention, int64_t key)
{
    int64_t now_us = clock_monotonic_us();
    struct contended_path *path = find(contention, key);
    if (!path)
        path = add(contention, key, now_us);
    if (path)
        path->until_us = now_us + CONTENDED_US;
}

bool contention_has(const struct contention *contention, int64_t key)
{
    const struct contended_path *path = find(contention, key);
    return path && path->until_us >= clock_monotonic_us();
}
