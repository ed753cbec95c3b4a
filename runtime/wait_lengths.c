#include "wait_lengths.h"

#include "clock.h"

enum {
    LATE_US = 1000, /* a timer of the loop's is no more precise */
};

static const struct timeval *queue_of(struct wait_lengths *lengths, struct event_base *base,
                                      int64_t length_us)
{
    for (int i = 0; i < lengths->n_known; i++)
        if (lengths->known[i].us == length_us)
            return lengths->known[i].queue;
    if (lengths->n_known == WAIT_LENGTHS_MAX)
        return NULL;
    struct timeval length = clock_timeval_us(length_us);
    const struct timeval *queue = event_base_init_common_timeout(base, &length);
    if (queue) {
        lengths->known[lengths->n_known].us = length_us;
        lengths->known[lengths->n_known++].queue = queue;
    }
    return queue;
}

void wait_lengths_arm(struct wait_lengths *lengths, struct event *timer, int64_t length_us,
                      int64_t until_us)
{
    int64_t left_us = until_us - clock_monotonic_us();
    const struct timeval *queue = NULL;
    if (left_us > length_us - LATE_US)
        queue = queue_of(lengths, event_get_base(timer), length_us);
    struct timeval left = clock_timeval_us(left_us);
    event_add(timer, queue ? queue : &left);
}
