/*
 * Which known name somebody probably meant: "lock_contxt" -> "lock-context".
 */
#pragma once

/* The name of a list nearest to what was written, NULL if none is near. Case and the difference of
 * `_`, `-` and nothing count little. names ends with NULL. Borrowed from names. */
const char *spelling_nearest(const char *written, const char *const *names);

/* For lists of another shape: keeps the nearest name seen so far. Zero it before the first. */
struct spelling {
    const char *nearest;
    int distance; /* of nearest; meaningless while it is NULL */
};

void spelling_consider(struct spelling *spelling, const char *written, const char *name);
