/* What a host counts: the part of runtime.h that is about figures. */
#include "lock_table.h"
#include "runtime_state.h"

enum {
    FIRST_BUCKET_US = 100,
};

int64_t runtime_bucket_us(int bucket)
{
    return (int64_t)FIRST_BUCKET_US << bucket;
}

static void add(struct runtime_histogram *histogram, int64_t us)
{
    int bucket = 0;
    while (bucket < RUNTIME_BUCKETS && us > runtime_bucket_us(bucket))
        bucket++;
    if (bucket < RUNTIME_BUCKETS)
        histogram->buckets[bucket]++;
    histogram->n++;
    histogram->sum_us += us;
}

void runtime_count(struct runtime *runtime, const struct result *result)
{
    struct runtime_figures *figures = &runtime->figures;
    if (result->job_lost)
        return;
    figures->ended[result->status]++;
    if (result->replayed || result->n_paths == 0)
        return;
    add(&figures->waited, result->waited_us);
    if (result->held_us)
        add(&figures->held, result->held_us);
}

void runtime_read_figures(const struct runtime *runtime, struct runtime_figures *out)
{
    *out = runtime->figures;
    out->pool_open = pg_pool_n_open(runtime->pool);
    out->pool_free = pg_pool_n_free(runtime->pool);
    out->pool_max = pg_pool_max(runtime->pool);
    out->entries_max = lock_table_entries_max(runtime->lock_table);
}
