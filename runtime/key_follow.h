/*
 * A caller whose idempotency key belongs to an instance that stopped: the instance is gone on with,
 * and its answer is the caller's.
 */
#pragma once
#include "execution.h"

/* Takes over the answer of an execution whose `follow` is set, and frees it. False without memory:
 * then it is answered as it stands. */
bool key_follow(struct execution *execution);
