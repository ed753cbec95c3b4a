/*
 * Timers of waits that are equally long. The loop keeps those of one length in a queue of their
 * own: arming and disarming one costs the same however many there are. Its heap, for timers of any
 * length, would have to be walked, and of a hundred thousand little is in the processor's cache.
 */
#pragma once
#include <event2/event.h>
#include <stdint.h>

enum {
    WAIT_LENGTHS_MAX = 32, /* others take the heap; the loop itself has room for 256 */
};

struct wait_lengths {
    struct {
        int64_t us;
        const struct timeval *queue; /* the loop's */
    } known[WAIT_LENGTHS_MAX];
    int n_known;
};

/* The timer of a wait of that length, which may have begun a moment ago: until until_us, on the
 * monotonic clock, or a millisecond longer. */
void wait_lengths_arm(struct wait_lengths *lengths, struct event *timer, int64_t length_us,
                      int64_t until_us);
