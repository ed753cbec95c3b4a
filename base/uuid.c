#include "uuid.h"

#include "clock.h"
#include "number_text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    COUNTER_MAX = 0x0fff,
};

/* n_bytes that were used for nothing else. */
static const unsigned char *draw_random(struct uuid_source *source, int n_bytes)
{
    /* Up to 256 bytes are never interrupted once the kernel's pool is up (getrandom(2)). */
    if (source->n_random < n_bytes) {
        if (getrandom(source->random, sizeof source->random, 0) != (ssize_t)sizeof source->random)
            abort();
        source->n_random = UUID_RANDOM_BYTES;
    }
    source->n_random -= n_bytes;
    return source->random + source->n_random;
}

static uint64_t read_bytes(const unsigned char *bytes, int n_bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < n_bytes; i++)
        value = value << 8 | bytes[i];
    return value;
}

void uuid_draw(struct uuid_source *source, char out[UUID_TEXT_BYTES])
{
    int64_t now_ms = clock_wall_us() / 1000;
    const unsigned char *random = draw_random(source, 9);
    if (now_ms > source->last_ms) {
        source->last_ms = now_ms;
        source->counter = random[8] & 0x3f; /* room to count up within the millisecond */
    } else if (source->counter < COUNTER_MAX) {
        source->counter++;
    } else {
        source->last_ms++; /* the counter is full: borrow from the next millisecond */
        source->counter = 0;
    }
    uint64_t ms = (uint64_t)source->last_ms;
    char *at = number_text_hex(out, ms >> 16, 8);
    *at++ = '-';
    at = number_text_hex(at, ms, 4);
    *at++ = '-';
    *at++ = '7'; /* the version */
    at = number_text_hex(at, source->counter, 3);
    *at++ = '-';
    at = number_text_hex(at, (read_bytes(random, 2) & 0x3fff) | 0x8000, 4); /* the variant */
    *at++ = '-';
    at = number_text_hex(at, read_bytes(random + 2, 6), 12);
    *at = '\0';
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
