#include "lock_tries.h"

#include "locks_sql.h"
#include "pg_array.h"
#include "runtime_sql.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOCK_TEXT_BYTES_MAX = 4 << 20,
    ARRAYS = 5,
};

static void list(struct lock_tries *tries, struct text *arrays[ARRAYS])
{
    arrays[0] = &tries->sizes;
    arrays[1] = &tries->keys;
    arrays[2] = &tries->exclusive;
    arrays[3] = &tries->path_counts;
    arrays[4] = &tries->paths;
}

void lock_tries_init(struct lock_tries *tries)
{
    struct text *arrays[ARRAYS];
    list(tries, arrays);
    tries->n_groups = 0;
    for (int i = 0; i < ARRAYS; i++) {
        text_init(arrays[i], LOCK_TEXT_BYTES_MAX);
        pg_array_begin(arrays[i]);
    }
}

void lock_tries_done(struct lock_tries *tries)
{
    struct text *arrays[ARRAYS];
    list(tries, arrays);
    for (int i = 0; i < ARRAYS; i++)
        text_done(arrays[i]);
}

void lock_tries_add(struct lock_tries *tries, const struct lock_set *set)
{
    pg_array_add_int64(&tries->sizes, lock_set_n_entries(set));
    for (int i = 0; i < lock_set_n_entries(set); i++) {
        const struct lock_entry *entry = lock_set_entry(set, i);
        pg_array_add_int64(&tries->keys, entry->key);
        pg_array_add(&tries->exclusive, entry->exclusive ? "t" : "f");
    }
    pg_array_add_int64(&tries->path_counts, lock_set_n_paths(set));
    for (int i = 0; i < lock_set_n_paths(set); i++)
        pg_array_add(&tries->paths, lock_set_path(set, i));
    tries->n_groups++;
}

static bool end(struct lock_tries *tries, const char *params[ARRAYS], struct fault *fault)
{
    struct text *arrays[ARRAYS];
    bool ok = true;
    list(tries, arrays);
    for (int i = 0; i < ARRAYS; i++) {
        pg_array_end(arrays[i]);
        params[i] = text_chars(arrays[i]);
        ok = ok && text_ok(arrays[i], fault);
    }
    return ok;
}

bool lock_tries_add_try(struct lock_tries *tries, struct pg_pipeline *pipeline, int *at,
                        struct fault *fault)
{
    const char *params[ARRAYS];
    if (!end(tries, params, fault))
        return false;
    *at = pg_pipeline_add(pipeline, PG_PREPARED, SQL_LEASE_TRY, ARRAYS, params);
    return true;
}

bool lock_tries_add_wait(struct lock_tries *tries, struct pg_pipeline *pipeline, int64_t budget_ms,
                         int *at_wait, int *at_look, struct fault *fault)
{
    const char *params[ARRAYS];
    char budget[24];
    if (!end(tries, params, fault))
        return false;
    snprintf(budget, sizeof budget, "%lld", (long long)budget_ms);
    const char *wait[] = {text_chars(&tries->keys), text_chars(&tries->exclusive), budget};
    const char *look[] = {text_chars(&tries->paths)};
    *at_wait = pg_pipeline_add(pipeline, PG_PREPARED, SQL_LOCK_WAIT, 3, wait);
    *at_look = pg_pipeline_add(pipeline, PG_PREPARED, SQL_LEASE_LOOK, 1, look);
    return true;
}

/* "{true,false,1200}" */
enum lock_try lock_tries_read(const char **at, int64_t *lease_us)
{
    enum lock_try answer = LOCK_TRY_REFUSED;
    *lease_us = 0;
    *at += **at == '{' || **at == ',';
    if (isdigit((unsigned char)**at)) {
        answer = LOCK_TRY_LEASED;
        *lease_us = strtoll(*at, NULL, 10) * 1000;
    } else if (**at == 't') {
        answer = LOCK_TRY_GRANTED;
    }
    *at += strcspn(*at, ",}");
    return answer;
}
