/*
 * Whether this machine is short of processors: then more batches at a time would only make each
 * smaller and dearer. The kernel counts for each thread how long it ran, and how long it could have
 * run but waited for a processor: /proc/PID/schedstat, see proc(5) and the kernel's
 * Documentation/scheduler/sched-stats.rst. Where there is no such file the machine counts as idle.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct crowding {
    int fd;                     /* -1: the kernel does not tell */
    uint64_t ran_ns, waited_ns; /* when it was looked at last */
    int64_t looked_us;
    int64_t until_us; /* crowded at least so long; 0: as only its start has told */
    bool crowded;
};

/* The calling thread's own. path: where it is told, NULL = the kernel's. */
void crowding_open(struct crowding *crowding, const char *path);
void crowding_close(struct crowding *crowding);

/* Whether the thread waits much longer than it runs. Looks every 50 ms at most, and only once it
 * has run for a while. */
bool crowding_is(struct crowding *crowding, int64_t now_us);
