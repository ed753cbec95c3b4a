/*
 * Removes expired leases of whatever host, when one was in somebody's way: in a short transaction
 * of its own, since until it has committed the rows are in the way. Rows that somebody else is
 * ending or removing are left to them.
 */
#pragma once
#include "fault.h"

struct lease_sweep;
struct runtime;

MUST_CHECK bool lease_sweep_new(struct runtime *runtime, struct lease_sweep **out,
                                struct fault *fault);
void lease_sweep_free(struct lease_sweep *sweep);

/* One at a time: a call while one is under way changes nothing. Who waits for a lease is told. */
void lease_sweep_start(struct lease_sweep *sweep);
