#include "uuid.h"

#include "clock.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    COUNTER_MAX = 0x0fff,
};

static void fill_random(unsigned char *bytes, size_t n_bytes)
{
    /* Up to 256 bytes are never interrupted once the kernel's pool is up (getrandom(2)). */
    if (getrandom(bytes, n_bytes, 0) != (ssize_t)n_bytes)
        abort();
}

void uuid_draw(struct uuid_source *source, char out[UUID_TEXT_BYTES])
{
    int64_t now_ms = clock_wall_us() / 1000;
    unsigned char random[10];
    fill_random(random, sizeof random);
    if (now_ms > source->last_ms) {
        source->last_ms = now_ms;
        source->counter = random[8] & 0x3f; /* room to count up within the millisecond */
    } else if (source->counter < COUNTER_MAX) {
        source->counter++;
    } else {
        source->last_ms++; /* the counter is full: borrow from the next millisecond */
        source->counter = 0;
    }
    uint64_t ms = (uint64_t)source->last_ms & 0xffffffffffff;
    snprintf(out, UUID_TEXT_BYTES, "%08x-%04x-7%03x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             (unsigned)(ms >> 16), (unsigned)(ms & 0xffff), source->counter & COUNTER_MAX,
             (random[0] & 0x3f) | 0x80, random[1], random[2], random[3], random[4], random[5],
             random[6], random[7]);
}

int64_t uuid_time_ms(const char text[UUID_TEXT_BYTES])
{
    int64_t high = strtoll(text, NULL, 16); /* each ends at its dash */
    return high << 16 | strtoll(text + 9, NULL, 16);
}

bool uuid_is_text(const char *text)
{
    if (strlen(text) != UUID_TEXT_BYTES - 1)
        return false;
    for (int i = 0; i < UUID_TEXT_BYTES - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
    }
    return true;
}
