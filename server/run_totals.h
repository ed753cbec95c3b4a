/*
 * What many runs came to: how many ended in each status, how fast, and how long one took.
 */
#pragma once
#include "execution_status.h"
#include "fault.h"
#include "json.h"

#include <stdint.h>
#include <stdio.h>

enum {
    /* Microseconds in groups that double; 64 parts of each, so a percentile errs by 1.6 % at most.
     */
    RUN_TOTALS_PARTS = 64,
    RUN_TOTALS_BUCKETS = RUN_TOTALS_PARTS * 40,
};

struct run_totals {
    long counts[STATUS_COUNT];
    char reasons[STATUS_COUNT][FAULT_TEXT_BYTES]; /* the first one told of each status */
    int64_t started_us;                           /* on the monotonic clock */
    int64_t ended_us;
    long n_measured;
    int64_t longest_us;
    long buckets[RUN_TOTALS_BUCKETS];
};

void run_totals_init(struct run_totals *totals);

/* The clock starts with the first call and stops with the last. */
void run_totals_start(struct run_totals *totals);
void run_totals_stop(struct run_totals *totals);

/* latency_us below 0: not measured. reason may be NULL or "". */
void run_totals_add(struct run_totals *totals, enum execution_status status, int64_t latency_us,
                    const char *reason);

/* So many that never ran, for one reason. */
void run_totals_add_many(struct run_totals *totals, enum execution_status status, long n,
                         const char *reason);

long run_totals_count(const struct run_totals *totals);
double run_totals_seconds(const struct run_totals *totals);
double run_totals_per_second(const struct run_totals *totals);

/* In milliseconds; share from 0 to 1. 0 if nothing was measured. */
double run_totals_percentile_ms(const struct run_totals *totals, double share);

/* {"count","completed",...,"seconds","per_second","latency_ms":{}} on one line. */
void run_totals_print_json(const struct run_totals *totals, FILE *out);

/* A table for people. */
void run_totals_print(const struct run_totals *totals, FILE *out);

/* The first reason of each status that did not go well, one a line. */
void run_totals_print_reasons(const struct run_totals *totals, FILE *out);

/* The exit code: 0 when all went well. */
int run_totals_exit_code(const struct run_totals *totals);
