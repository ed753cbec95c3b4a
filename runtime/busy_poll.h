/*
 * Keeps the loop awake for an answer that is as good as there.
 *
 * Who sleeps is woken by an interrupt of its processor. That takes tens of microseconds, and more
 * on a virtual machine, which has given the idle processor back; and it costs the one who wakes as
 * well. For an execution by itself, whose answers take a few hundred microseconds, it is a fifth to
 * a third of the time. So the loop turns without sleeping while such an answer is awaited: other
 * events of the loop are served meanwhile, and whoever wants the processor gets it at each turn.
 *
 * It stops by itself where it does not pay: where answers take longer than the limit, and where
 * others use the processor. Linux does the same for packets (Documentation/networking/napi.rst,
 * busy polling) and for idle processors of guests (Documentation/virt/guest-halt-polling.rst).
 */
#pragma once
#include "fault.h"

#include <stdint.h>

struct event;
struct event_base;

enum {
    BUSY_POLL_KINDS = 16,
};

struct busy_poll {
    struct event *turn;
    int64_t limit_us; /* the loop stays awake for so long at most; 0 = never */
    const void *who;  /* awaits an answer; NULL = nobody does */
    int kind;         /* of answer */
    int64_t began_us;
    int64_t turned_us;
    bool awake;
    bool disturbed;                    /* in this wait somebody else had the processor */
    int vain;                          /* how many of 1024 waits were: disturbed, or too long */
    int64_t rests_until_us;            /* since too many were */
    int64_t usual_us[BUSY_POLL_KINDS]; /* how long an answer takes */
};

MUST_CHECK bool busy_poll_open(struct busy_poll *poll, struct event_base *base, int64_t limit_us,
                               struct fault *fault);
void busy_poll_close(struct busy_poll *poll);

/* An answer is awaited, by one at a time. Returns whether the loop stays awake for it. How long it
 * takes is learned in any case. */
bool busy_poll_begin(struct busy_poll *poll, const void *who, int kind, int64_t now_us);

/* It is there, or awaited no more. Those who await nothing may say so too: it costs them no look at
 * the clock. */
void busy_poll_end(struct busy_poll *poll, const void *who);

/* The same of who awaits it, at that time of the monotonic clock. */
void busy_poll_end_at(struct busy_poll *poll, int64_t now_us);

/* Other work begins: the loop may sleep. */
void busy_poll_rest(struct busy_poll *poll);
