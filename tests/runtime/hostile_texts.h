/* Texts that would keep a host busy, eat its memory or hold a lock for ever. */
#pragma once
#include <stdbool.h>

enum hostile_where {
    HOSTILE_SCRIPT,
    HOSTILE_LOCK_CONTEXT,
    HOSTILE_GUARD,
};

struct hostile_text {
    enum hostile_where where;
    bool is_harmless; /* it may complete: what made it dangerous elsewhere does nothing here */
    const char *text;
};

extern const struct hostile_text hostile_texts[];
extern const int n_hostile_texts;
