#include "duration.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t ms;
};

static const struct unit units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 24 * 3600 * 1000},
};

enum {
    N_UNITS = sizeof units / sizeof *units,
};

static int64_t unit_ms(const char *name)
{
    for (int i = 0; i < N_UNITS; i++)
        if (strcmp(units[i].name, name) == 0)
            return units[i].ms;
    return 0;
}

enum duration_slip duration_read(const char *text, int64_t *ms)
{
    int64_t number = 0;
    bool fits = true;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        fits = fits && number <= (INT64_MAX - 9) / 10;
        number = fits ? number * 10 + (*at - '0') : number;
    }
    int64_t unit = unit_ms(at);
    if (at == text)
        return DURATION_NONE;
    if (*at == '\0')
        return DURATION_NO_UNIT;
    if (unit == 0)
        return DURATION_NONE;
    if (!fits || number > INT64_MAX / unit)
        return DURATION_TOO_LARGE;
    *ms = number * unit;
    return DURATION_FINE;
}

void duration_write(int64_t ms, char *out, size_t n_bytes)
{
    int i = ms == 0 ? 1 : N_UNITS - 1;
    while (i > 0 && ms % units[i].ms != 0)
        i--;
    snprintf(out, n_bytes, "%" PRId64 "%s", ms / units[i].ms, units[i].name);
}
