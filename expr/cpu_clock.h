/* Internal to expr: the processor time of the calling thread. What a busy machine does to others
 * does not count. */
#pragma once
#include <stdint.h>
#include <time.h>

static inline int64_t cpu_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
