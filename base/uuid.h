/*
 * UUID version 7 (RFC 9562, section 5.7): 48 bits of Unix time in milliseconds, then a 12-bit
 * counter within the millisecond and 62 random bits, so ids of one process grow.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
    UUID_TEXT_BYTES = 37,    /* 36 characters and a NUL */
    UUID_RANDOM_BYTES = 256, /* asked of the kernel at a time */
};

/* What one process needs to keep its ids growing. Zero it before the first use, and never use a
 * copy in a forked process: its random bytes are drawn already. */
struct uuid_source {
    int64_t last_ms;
    uint16_t counter;
    int n_random; /* bytes left, at the end of random */
    unsigned char random[UUID_RANDOM_BYTES];
};

/* Writes a new id in lower-case text form. */
void uuid_draw(struct uuid_source *source, char out[UUID_TEXT_BYTES]);

/* When an id of version 7 was drawn, in milliseconds since 1970-01-01 UTC. */
int64_t uuid_time_ms(const char text[UUID_TEXT_BYTES]);

/* True for the 36-character text form, either case, any version. */
bool uuid_is_text(const char *text);
