#include "run_totals.h"

#include "clock.h"

#include <math.h>
#include <string.h>

void run_totals_init(struct run_totals *totals)
{
    memset(totals, 0, sizeof *totals);
}

void run_totals_start(struct run_totals *totals)
{
    if (!totals->started_us)
        totals->started_us = clock_monotonic_us();
}

void run_totals_stop(struct run_totals *totals)
{
    totals->ended_us = clock_monotonic_us();
}

/* Values below 64 have a bucket each; above, the six bits after the first one choose the part. */
static int bucket_of(int64_t us)
{
    int group = 0;
    while (us >> group >= 2 * RUN_TOTALS_PARTS)
        group++;
    int bucket = group * RUN_TOTALS_PARTS + (int)(us >> group);
    return bucket < RUN_TOTALS_BUCKETS ? bucket : RUN_TOTALS_BUCKETS - 1;
}

/* The largest value that falls into the bucket. */
static int64_t bucket_end_us(int bucket)
{
    int group = bucket < 2 * RUN_TOTALS_PARTS ? 0 : bucket / RUN_TOTALS_PARTS - 1;
    int64_t part = bucket - group * RUN_TOTALS_PARTS;
    return ((part + 1) << group) - 1;
}

void run_totals_add_many(struct run_totals *totals, enum execution_status status, long n,
                         const char *reason)
{
    if (n > 0 && reason && *reason && !totals->reasons[status][0])
        snprintf(totals->reasons[status], FAULT_TEXT_BYTES, "%s", reason);
    totals->counts[status] += n;
}

void run_totals_add(struct run_totals *totals, enum execution_status status, int64_t latency_us,
                    const char *reason)
{
    run_totals_add_many(totals, status, 1, reason);
    if (latency_us < 0)
        return;
    totals->n_measured++;
    totals->buckets[bucket_of(latency_us)]++;
    if (latency_us > totals->longest_us)
        totals->longest_us = latency_us;
}

long run_totals_count(const struct run_totals *totals)
{
    long count = 0;
    for (int i = 0; i < STATUS_COUNT; i++)
        count += totals->counts[i];
    return count;
}

double run_totals_seconds(const struct run_totals *totals)
{
    return (double)(totals->ended_us - totals->started_us) / 1e6;
}

double run_totals_per_second(const struct run_totals *totals)
{
    double seconds = run_totals_seconds(totals);
    return seconds > 0 ? (double)totals->n_measured / seconds : 0;
}

double run_totals_percentile_ms(const struct run_totals *totals, double share)
{
    long wanted = (long)ceil(share * (double)totals->n_measured);
    long seen = 0;
    for (int i = 0; i < RUN_TOTALS_BUCKETS; i++) {
        seen += totals->buckets[i];
        if (seen > 0 && seen >= wanted) {
            int64_t us = bucket_end_us(i);
            return (double)(us < totals->longest_us ? us : totals->longest_us) / 1000;
        }
    }
    return 0;
}

static json_t *rounded(double value)
{
    return json_real(round(value * 1000) / 1000);
}

static json_t *to_json(const struct run_totals *totals)
{
    json_t *object = json_object();
    json_object_set_new(object, "count", json_integer(run_totals_count(totals)));
    for (int i = 0; i < STATUS_COUNT; i++)
        json_object_set_new(object, execution_status_row((enum execution_status)i)->name,
                            json_integer(totals->counts[i]));
    json_object_set_new(object, "seconds", rounded(run_totals_seconds(totals)));
    json_object_set_new(object, "per_second", rounded(run_totals_per_second(totals)));
    json_t *latency = json_object();
    json_object_set_new(latency, "p50", rounded(run_totals_percentile_ms(totals, 0.50)));
    json_object_set_new(latency, "p90", rounded(run_totals_percentile_ms(totals, 0.90)));
    json_object_set_new(latency, "p99", rounded(run_totals_percentile_ms(totals, 0.99)));
    json_object_set_new(latency, "max", rounded((double)totals->longest_us / 1000));
    json_object_set_new(object, "latency_ms", latency);
    return object;
}

void run_totals_print_json(const struct run_totals *totals, FILE *out)
{
    json_t *object = to_json(totals);
    /* Twelve digits, so that 0.1 is written 0.1. */
    if (object)
        json_dumpf(object, out, JSON_COMPACT | JSON_REAL_PRECISION(12));
    fputc('\n', out);
    json_decref(object);
}

void run_totals_print(const struct run_totals *totals, FILE *out)
{
    fprintf(out, "%-12s %12ld\n", "count", run_totals_count(totals));
    for (int i = 0; i < STATUS_COUNT; i++)
        if (totals->counts[i] || i == STATUS_COMPLETED)
            fprintf(out, "%-12s %12ld\n", execution_status_row((enum execution_status)i)->name,
                    totals->counts[i]);
    fprintf(out, "%-12s %12.3f\n", "seconds", run_totals_seconds(totals));
    fprintf(out, "%-12s %12.1f\n", "per second", run_totals_per_second(totals));
    fprintf(out, "%-12s %12.1f ms\n", "p50", run_totals_percentile_ms(totals, 0.50));
    fprintf(out, "%-12s %12.1f ms\n", "p90", run_totals_percentile_ms(totals, 0.90));
    fprintf(out, "%-12s %12.1f ms\n", "p99", run_totals_percentile_ms(totals, 0.99));
    fprintf(out, "%-12s %12.1f ms\n", "max", (double)totals->longest_us / 1000);
}

void run_totals_print_reasons(const struct run_totals *totals, FILE *out)
{
    for (int i = 0; i < STATUS_COUNT; i++)
        if (totals->counts[i] && totals->reasons[i][0])
            fprintf(out, "latchkey: %ld %s%s: %s\n", totals->counts[i],
                    execution_status_row((enum execution_status)i)->name,
                    totals->counts[i] > 1 ? ", the first" : "", totals->reasons[i]);
}

int run_totals_exit_code(const struct run_totals *totals)
{
    return execution_status_row(execution_status_worst(totals->counts))->exit_code;
}
