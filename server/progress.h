/*
 * A bar on stderr while many runs are under way; nothing when stderr is no terminal.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool shown;
    int64_t total;
    int64_t drawn_at_us;
};

void progress_init(struct progress *progress, int64_t total, bool quiet);

/* Draws at most ten times a second. */
void progress_update(struct progress *progress, int64_t done);

/* Wipes the bar, so that what is printed next begins a clean line. */
void progress_done(struct progress *progress);
