#include "busy_poll.h"

#include "clock.h"

#include <assert.h>
#include <event2/event.h>
#include <sched.h>

enum {
    USUAL_WEIGHT = 8, /* an answer is an eighth of what is usual */
    OUTLIER = 4,      /* and counts as four limits at most, or one would change too much */
    /* A turn takes one or two microseconds. On two processors 1 to 7 waits of 100 had one as long
     * as this with one host, 12 to 80 with two of them; and 1 answer of 100 was late, or 3 to 5. */
    DISTURBED_US = 60,
    WHOLE = 1024,
    VAIN_WEIGHT = 64,
    VAIN_MOST = WHOLE / 3,
    VAIN_AFTER_REST = WHOLE / 6,
    REST_US = 500 * 1000,
};

static void turn_again(struct busy_poll *poll)
{
    const struct timeval at_once = {0, 0}; /* after the loop has looked at its sockets */
    event_add(poll->turn, &at_once);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct busy_poll *poll = arg;
    int64_t now_us = clock_monotonic_us();
    (void)fd;
    (void)what;
    poll->disturbed = poll->disturbed || now_us - poll->turned_us > DISTURBED_US;
    poll->turned_us = now_us;
    if (now_us - poll->began_us >= poll->limit_us)
        return;
    sched_yield();
    turn_again(poll);
}

bool busy_poll_open(struct busy_poll *poll, struct event_base *base, int64_t limit_us,
                    struct fault *fault)
{
    *poll = (struct busy_poll){.limit_us = limit_us, .turn = event_new(base, -1, 0, on_turn, poll)};
    return poll->turn || fault_no_memory(fault);
}

void busy_poll_close(struct busy_poll *poll)
{
    if (poll->turn)
        event_free(poll->turn);
    poll->turn = NULL;
}

bool busy_poll_begin(struct busy_poll *poll, const void *who, int kind, int64_t now_us)
{
    poll->who = who;
    poll->kind = kind;
    poll->began_us = poll->turned_us = now_us;
    poll->disturbed = false;
    poll->awake = poll->usual_us[kind] < poll->limit_us && now_us >= poll->rests_until_us;
    if (poll->awake)
        turn_again(poll);
    return poll->awake;
}

static void judge(struct busy_poll *poll, bool vain, int64_t now_us)
{
    poll->vain += ((vain ? WHOLE : 0) - poll->vain) / VAIN_WEIGHT;
    if (poll->vain < VAIN_MOST)
        return;
    poll->vain = VAIN_AFTER_REST;
    poll->rests_until_us = now_us + REST_US;
}

void busy_poll_end(struct busy_poll *poll, const void *who)
{
    if (poll->who == who)
        busy_poll_end_at(poll, clock_monotonic_us());
}

void busy_poll_end_at(struct busy_poll *poll, int64_t now_us)
{
    int64_t took_us = now_us - poll->began_us, most_us = OUTLIER * poll->limit_us;
    assert(poll->who);
    int64_t *usual_us = &poll->usual_us[poll->kind];
    *usual_us += ((took_us < most_us ? took_us : most_us) - *usual_us) / USUAL_WEIGHT;
    if (poll->awake)
        judge(poll, poll->disturbed || took_us > poll->limit_us, now_us);
    poll->who = NULL;
    busy_poll_rest(poll);
}

void busy_poll_rest(struct busy_poll *poll)
{
    if (poll->awake)
        event_del(poll->turn);
    poll->awake = false;
}
