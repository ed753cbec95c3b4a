/*
 * SIGINT and SIGTERM while an event loop runs: the first asks to stop, the second to stop at once.
 */
#pragma once
#include "fault.h"

struct event;
struct event_base;

/* n is 1 for the first signal, 2 for the second, ... */
typedef void interrupt_fn(int n, void *arg);

struct interrupt {
    struct event *on_int;
    struct event *on_term;
    interrupt_fn *told;
    void *arg;
    int n;
    int signal_number; /* the first that came; 0 = none */
};

/* *interrupt wants interrupt_done, also after a failure. arg is kept. */
MUST_CHECK bool interrupt_init(struct interrupt *interrupt, struct event_base *base,
                               interrupt_fn *told, void *arg, struct fault *fault);
void interrupt_done(struct interrupt *interrupt);
