#include "progress.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WIDTH = 40,
    INTERVAL_US = 100 * 1000,
};

void progress_init(struct progress *progress, int64_t total, bool quiet)
{
    const char *terminal = getenv("TERM");
    bool dumb = terminal && strcmp(terminal, "dumb") == 0;
    *progress = (struct progress){
        .shown = !quiet && !dumb && total > 0 && isatty(STDERR_FILENO),
        .total = total,
    };
}

void progress_update(struct progress *progress, int64_t done)
{
    char bar[WIDTH + 1];
    if (!progress->shown)
        return;
    int64_t now_us = clock_monotonic_us();
    if (progress->drawn_at_us && now_us - progress->drawn_at_us < INTERVAL_US)
        return;
    progress->drawn_at_us = now_us;
    double share = (double)done / (double)progress->total;
    int filled = (int)(share * WIDTH);
    memset(bar, '-', WIDTH);
    memset(bar, '#', (size_t)(filled > WIDTH ? WIDTH : filled));
    bar[WIDTH] = '\0';
    fprintf(stderr, "\r[%s] %3d %%  %lld of %lld", bar, (int)(share * 100), (long long)done,
            (long long)progress->total);
    fflush(stderr);
}

void progress_done(struct progress *progress)
{
    if (progress->shown && progress->drawn_at_us)
        fprintf(stderr, "\r\033[K");
    progress->shown = false;
}
