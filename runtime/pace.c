#include "pace.h"

enum {
    BATCHES_MAX = 2, /* the server works on one while we do on the other; more make them smaller */
    BATCHES_FULL_MAX = 3, /* a full one takes nobody from the others, who often await the disk */
    MUCH_SMALLER = 4,     /* a batch is, with less than a quarter of the members of the last */
    LATE_OF = 8,          /* an eighth is not awaited: some were refused and come when they may */
    WORTH_MEMBERS = 32,   /* about what a transaction costs: fewer do not wait to share one */
};

void pace_open(struct pace *pace, const struct runtime_options *options, int connections)
{
    *pace = (struct pace){.options = options, .connections = connections};
    crowding_open(&pace->crowding, options->schedstat);
}

void pace_close(struct pace *pace)
{
    crowding_close(&pace->crowding);
}

int pace_batches(struct pace *pace, int n_ready, int64_t now_us)
{
    int most = n_ready >= pace->options->batch_members_max ? BATCHES_FULL_MAX : BATCHES_MAX;
    if (crowding_is(&pace->crowding, now_us))
        return 1;
    return pace->connections < most ? pace->connections : most;
}

int pace_share(const struct pace *pace, int n_ready, int n_running, int n_batches)
{
    int n_sharing = n_batches - n_running + 1, least = pace->options->batch_share_least;
    if (n_sharing > 1)
        n_ready = (n_ready + n_sharing - 1) / n_sharing;
    return n_ready > least ? n_ready : least;
}

bool pace_next_is_full(const struct pace *pace, int n_ready, int n_running, int n_others)
{
    int most = pace->options->batch_members_max;
    return n_ready >= most || (n_running == 1 && n_others >= most);
}

/* With a batch under way, the few that were refused before would have a transaction for themselves.
 */
static bool more_would_help(const struct pace *pace, int n_ready, int n_running)
{
    if (n_running > 0 && n_ready * MUCH_SMALLER < pace->last_size)
        return true;
    return pace->crowding.crowded && pace->expected >= WORTH_MEMBERS &&
           n_ready < pace->expected - pace->expected / LATE_OF;
}

int64_t pace_linger_us(struct pace *pace, int n_ready, int n_running, int64_t now_us)
{
    if (!more_would_help(pace, n_ready, n_running))
        return 0;
    if (!pace->linger_until_us)
        pace->linger_until_us = now_us + pace->options->batch_linger_us;
    return now_us < pace->linger_until_us ? pace->linger_until_us - now_us : 0;
}

void pace_began(struct pace *pace, int n_members)
{
    pace->last_size = n_members;
    pace->linger_until_us = 0;
}

void pace_ended(struct pace *pace, int n_ready)
{
    int most = pace->options->batch_members_max;
    pace->expected = n_ready < most - pace->last_size ? n_ready + pace->last_size : most;
}

void pace_emptied(struct pace *pace)
{
    pace->linger_until_us = 0; /* who comes next lingers anew */
}
