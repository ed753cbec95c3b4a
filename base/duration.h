/*
 * Durations as people write them: a whole number and its unit, "500ms", "30s", "10m", "2h", "30d".
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum duration_slip {
    DURATION_FINE,
    DURATION_NO_UNIT,   /* "30": digits alone */
    DURATION_NONE,      /* anything else that is no duration */
    DURATION_TOO_LARGE, /* beyond 64 bits of milliseconds */
};

/* *ms is set if it is fine. */
enum duration_slip duration_read(const char *text, int64_t *ms);

/* In the largest unit that needs no fraction; out wants 32 bytes. */
void duration_write(int64_t ms, char *out, size_t n_bytes);
