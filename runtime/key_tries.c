#include "key_tries.h"

#include "number_text.h"
#include "pg_array.h"
#include "runtime_sql.h"

#include <stdlib.h>

enum {
    KEYS_BYTES_MAX = 4 << 20,
    LONE_SHARED = 3, /* parameters of sql/batch_open_lone.sql */
    LONE_EXCLUSIVE = 1,
    LONE_KEYS = LONE_SHARED + LONE_EXCLUSIVE,
};

void key_tries_init(struct key_tries *tries)
{
    *tries = (struct key_tries){.n_sets = 0};
    struct text *arrays[] = {&tries->shared, &tries->exclusive, &tries->paths};
    for (int i = 0; i < 3; i++) {
        text_init(arrays[i], KEYS_BYTES_MAX);
        pg_array_begin(arrays[i]);
    }
}

void key_tries_done(struct key_tries *tries)
{
    text_done(&tries->shared);
    text_done(&tries->exclusive);
    text_done(&tries->paths);
}

/* 0 marks a free place: a key of 0 is never seen, and tried each time. */
static bool is_new(struct key_tries *tries, int64_t key)
{
    int64_t *place = &tries->seen[(uint64_t)key % KEY_TRIES_SEEN];
    bool seen = key && *place == key;
    *place = key;
    return !seen;
}

void key_tries_add(struct key_tries *tries, const struct lock_set *set)
{
    for (int i = 0; i < lock_set_n_entries(set); i++) {
        const struct lock_entry *entry = lock_set_entry(set, i);
        if (entry->exclusive)
            pg_array_add_int64(&tries->exclusive, entry->key);
        else if (is_new(tries, entry->key))
            pg_array_add_int64(&tries->shared, entry->key);
    }
    for (int i = 0; i < lock_set_n_paths(set); i++)
        pg_array_add(&tries->paths, lock_set_path(set, i));
    tries->n_sets++;
}

static bool end_arrays(struct key_tries *tries, struct fault *fault)
{
    pg_array_end(&tries->shared);
    pg_array_end(&tries->exclusive);
    pg_array_end(&tries->paths);
    return text_ok(&tries->shared, fault) && text_ok(&tries->exclusive, fault) &&
           text_ok(&tries->paths, fault);
}

static int add_look(const struct key_tries *tries, struct pg_pipeline *pipeline)
{
    const char *look[] = {text_chars(&tries->paths)};
    return pg_pipeline_add(pipeline, PG_PREPARED, SQL_LEASE_LOOK, 1, look);
}

bool key_tries_add_join(struct key_tries *tries, struct pg_pipeline *pipeline, int *at_join,
                        int *at_look, struct fault *fault)
{
    if (!end_arrays(tries, fault))
        return false;
    const char *join[] = {text_chars(&tries->shared), text_chars(&tries->exclusive)};
    *at_join = pg_pipeline_add(pipeline, PG_PREPARED, SQL_BATCH_JOIN, 2, join);
    *at_look = add_look(tries, pipeline);
    return true;
}

bool key_tries_add_open(struct key_tries *tries, const struct transaction_limits *limits,
                        struct pg_pipeline *pipeline, int *at_open, int *at_look,
                        struct fault *fault)
{
    if (!end_arrays(tries, fault))
        return false;
    const char *open[] = {limits->waiting_ms, limits->tag, text_chars(&tries->shared),
                          text_chars(&tries->exclusive), limits->row_wait_ms};
    *at_open = pg_pipeline_add(pipeline, PG_PREPARED, SQL_BATCH_OPEN, 5, open);
    if (tries->n_sets > 0)
        *at_look = add_look(tries, pipeline);
    return true;
}

/* ---- an execution by itself ---- */

/* The keys in their places, NULL where there is none. */
static bool place_keys(const struct lock_set *set, char texts[LONE_KEYS][NUMBER_TEXT_BYTES],
                       const char *keys[LONE_KEYS])
{
    int n_shared = 0, n_exclusive = 0;
    for (int i = 0; i < lock_set_n_entries(set); i++) {
        const struct lock_entry *entry = lock_set_entry(set, i);
        if (entry->exclusive ? n_exclusive == LONE_EXCLUSIVE : n_shared == LONE_SHARED)
            return false;
        int at = entry->exclusive ? LONE_SHARED + n_exclusive++ : n_shared++;
        *number_text_int(texts[at], entry->key) = '\0';
        keys[at] = texts[at];
    }
    return true;
}

bool key_tries_fit_lone(const struct lock_set *set)
{
    char texts[LONE_KEYS][NUMBER_TEXT_BYTES];
    const char *keys[LONE_KEYS];
    return place_keys(set, texts, keys);
}

bool key_tries_add_lone(const struct lock_set *set, const struct transaction_limits *limits,
                        struct pg_pipeline *pipeline, int *at_open, int *at_look)
{
    char texts[LONE_KEYS][NUMBER_TEXT_BYTES];
    const char *keys[LONE_KEYS] = {NULL};
    struct text paths;
    if (set && !place_keys(set, texts, keys))
        return false;
    text_init(&paths, KEYS_BYTES_MAX);
    pg_array_begin(&paths);
    for (int i = 0; set && i < lock_set_n_paths(set); i++)
        pg_array_add(&paths, lock_set_path(set, i));
    pg_array_end(&paths);
    bool ok = !paths.failed;
    if (ok) {
        const char *open[] = {limits->waiting_ms, limits->tag, keys[0], keys[1], keys[2], keys[3],
                              limits->row_wait_ms};
        const char *look[] = {text_chars(&paths)};
        *at_open = pg_pipeline_add(pipeline, PG_PREPARED, SQL_BATCH_OPEN_LONE, 7, open);
        if (set)
            *at_look = pg_pipeline_add(pipeline, PG_PREPARED, SQL_LEASE_LOOK, 1, look);
    }
    text_done(&paths);
    return ok;
}

bool key_tries_add_early(const struct lock_set *set, const struct transaction_limits *limits,
                         bool text_varies, bool lean, struct pg_pipeline *pipeline)
{
    char texts[LONE_KEYS][NUMBER_TEXT_BYTES];
    const char *keys[LONE_KEYS] = {NULL}, *varies = text_varies ? "t" : "f";
    if (!place_keys(set, texts, keys))
        return false;
    const char *open[] = {limits->waiting_ms,  limits->tag, keys[0], keys[1], keys[2], keys[3],
                          limits->row_wait_ms, varies};
    lean = lean && !text_varies;
    pg_pipeline_add(pipeline, PG_PREPARED, lean ? SQL_BATCH_OPEN_EARLY_LEAN : SQL_BATCH_OPEN_EARLY,
                    lean ? 7 : 8, open);
    return true;
}

/* ---- what was refused ---- */

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* text: "{1,-2}", or "" of a null */
static bool read_keys(const char *text, int64_t **keys, int *n, struct region *region,
                      struct fault *fault)
{
    size_t n_most = 0;
    *n = 0;
    *keys = NULL;
    for (const char *at = text; *at; at++)
        n_most += *at == '{' || *at == ',';
    if (n_most == 0)
        return true;
    *keys = region_take(region, n_most * sizeof **keys);
    if (!*keys)
        return fault_no_memory(fault);
    while (*text == '{' || *text == ',') {
        char *end;
        (*keys)[(*n)++] = strtoll(text + 1, &end, 10);
        text = end;
    }
    qsort(*keys, (size_t)*n, sizeof **keys, compare);
    return true;
}

bool key_refusals_read(struct key_refusals *refusals, const PGresult *tried, int column,
                       struct region *region, struct fault *fault)
{
    return read_keys(PQgetvalue(tried, 0, column), &refusals->shared, &refusals->n_shared, region,
                     fault) &&
           read_keys(PQgetvalue(tried, 0, column + 1), &refusals->exclusive, &refusals->n_exclusive,
                     region, fault);
}

bool key_refusals_meet(const struct key_refusals *refusals, const struct lock_set *set)
{
    for (int i = 0; i < lock_set_n_entries(set); i++) {
        const struct lock_entry *entry = lock_set_entry(set, i);
        const int64_t *keys = entry->exclusive ? refusals->exclusive : refusals->shared;
        int n = entry->exclusive ? refusals->n_exclusive : refusals->n_shared;
        if (n > 0 && bsearch(&entry->key, keys, (size_t)n, sizeof *keys, compare))
            return true;
    }
    return false;
}
