/*
 * A file in the place of the kernel's schedstat, for options.schedstat: a test says how long its
 * thread ran, and waited for a processor.
 */
#pragma once
#include <stdint.h>

struct schedstat_file {
    char path[40];
    int64_t ran_ms;
    int64_t waited_ms;
};

void schedstat_file_open(struct schedstat_file *file, int64_t ran_ms, int64_t waited_ms);

/* So much longer it ran and waited. */
void schedstat_file_add(struct schedstat_file *file, int64_t ran_ms, int64_t waited_ms);
void schedstat_file_close(struct schedstat_file *file);
