/*
 * The end of a lease is told to all hosts, so that who waits for one tries at once: by NOTIFY in a
 * transaction of its own after the commit, and heard on a connection that is opened when somebody
 * here first waits for a lease and closed when nobody has for a while. A bell that is not heard
 * costs time only: who waits also looks by itself.
 */
#pragma once
#include "fault.h"

struct lease_bell;
struct runtime;

MUST_CHECK bool lease_bell_new(struct runtime *runtime, struct lease_bell **out,
                               struct fault *fault);
void lease_bell_free(struct lease_bell *bell);

/* A lease of this host has ended: its own waiters are told now, the others soon. */
void lease_bell_ring(struct lease_bell *bell);

/* Somebody here waits for a lease. */
void lease_bell_listen(struct lease_bell *bell);
