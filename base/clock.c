#include "clock.h"

#include <stdlib.h>
#include <sys/random.h>
#include <sys/time.h>
#include <time.h>

static int64_t read_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_monotonic_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

struct timeval clock_timeval_us(int64_t duration_us)
{
    if (duration_us < 0)
        duration_us = 0;
    return (struct timeval){.tv_sec = duration_us / 1000000, .tv_usec = duration_us % 1000000};
}

double clock_jitter(void)
{
    uint32_t bits = 0;
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) != (ssize_t)sizeof bits)
        bits = (uint32_t)clock_monotonic_us() * 2654435761u;
    return bits / 4294967296.0;
}
