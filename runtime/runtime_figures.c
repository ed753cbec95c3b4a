/* What a host counts: the part of runtime.h that is about figures. */
#include "batch_state.h"
#include "lock_table.h"
#include "runtime_state.h"
#include "scheduler.h"

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
    figures->n_attempts += result->attempts;
    if (result->replayed || result->n_paths == 0)
        return;
    add(&figures->waited, result->waited_us);
    if (result->held_us)
        add(&figures->held, result->held_us);
}

void runtime_count_batch(struct runtime *runtime, int n_members)
{
    struct runtime_figures *figures = &runtime->figures;
    int size = 0;
    while (size < RUNTIME_SIZES - 1 && n_members > 1 << size)
        size++;
    figures->sizes[size]++;
    figures->n_batches++;
    figures->n_members += n_members;
}

/* Counted by those who have them; what is left stands in the queues. */
static void read_lines(const struct runtime *runtime, struct runtime_figures *out)
{
    const struct scheduler *scheduler = runtime->scheduler;
    const struct batch *batch;
    out->n_ready = scheduler_n_in_line(scheduler, READY_PLAIN) +
                   scheduler_n_in_line(scheduler, READY_ALONE) +
                   scheduler_n_in_line(scheduler, READY_LEASING);
    out->n_delayed = scheduler_n_in_line(scheduler, READY_DELAYED);
    out->n_leased = scheduler_n_in_line(scheduler, READY_LEASED);
    out->n_slot = scheduler_n_in_line(scheduler, READY_SLOT);
    out->n_taken = 0;
    LIST_FOREACH(batch, &runtime->batches, link)
    {
        out->n_taken += batch_n_members(batch);
    }
    out->n_queued = runtime->n_running - out->n_ready - out->n_delayed - out->n_leased -
                    out->n_slot - out->n_taken;
}

void runtime_read_figures(const struct runtime *runtime, struct runtime_figures *out)
{
    *out = runtime->figures;
    out->crowded = scheduler_is_crowded(runtime->scheduler);
    out->pool_open = pg_pool_n_open(runtime->pool);
    out->pool_free = pg_pool_n_free(runtime->pool);
    out->pool_max = pg_pool_max(runtime->pool);
    out->entries_max = lock_table_entries_max(runtime->lock_table);
    lock_table_read(runtime->lock_table, &out->lock_table_used, &out->lock_table_size,
                    &out->n_hosts);
    read_lines(runtime, out);
}
