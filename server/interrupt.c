#include "interrupt.h"

#include <event2/event.h>
#include <signal.h>

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
    struct interrupt *interrupt = arg;
    (void)what;
    if (!interrupt->signal_number)
        interrupt->signal_number = (int)signal_number;
    interrupt->told(++interrupt->n, interrupt->arg);
}

bool interrupt_init(struct interrupt *interrupt, struct event_base *base, interrupt_fn *told,
                    void *arg, struct fault *fault)
{
    *interrupt = (struct interrupt){.told = told, .arg = arg};
    interrupt->on_int = evsignal_new(base, SIGINT, on_signal, interrupt);
    interrupt->on_term = evsignal_new(base, SIGTERM, on_signal, interrupt);
    if (!interrupt->on_int || !interrupt->on_term || event_add(interrupt->on_int, NULL) != 0 ||
        event_add(interrupt->on_term, NULL) != 0)
        return fault_no_memory(fault);
    return true;
}

void interrupt_done(struct interrupt *interrupt)
{
    if (interrupt->on_int)
        event_free(interrupt->on_int);
    if (interrupt->on_term)
        event_free(interrupt->on_term);
    interrupt->on_int = interrupt->on_term = NULL;
}
