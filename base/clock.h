/* The clocks. Durations are measured on the monotonic one; it never jumps. */
#pragma once
#include <stdint.h>

struct timeval;

/* Microseconds since an arbitrary moment, growing while the machine is on. */
int64_t clock_monotonic_us(void);

/* Microseconds since 1970-01-01 UTC. */
int64_t clock_wall_us(void);

/* A duration for libevent. Negative durations become 0. */
struct timeval clock_timeval_us(int64_t duration_us);

/* A number in [0, 1): for jitter, never for secrets. */
double clock_jitter(void);
