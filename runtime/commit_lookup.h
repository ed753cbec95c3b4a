/*
 * What became of a commit whose answer was lost. On the host's reserved connection the attempt is
 * claimed as void: if that succeeds it did not and can never commit, if its mark stands it did. A
 * transaction that is still open is waited for. Nothing else is proof: transaction ids are used
 * again after a crash, and a session missing from the server's list may be hidden.
 */
#pragma once
#include "fault.h"

#include <stdint.h>

enum {
    /* An older attempt is not asked about: its mark may have been forgotten (retention.c), and then
     * the answer would be a lie. */
    COMMIT_LOOKUP_MOST_US = 30 * 60 * 1000 * 1000,
};

struct commit_lookup;
struct runtime;

enum commit_fact {
    COMMIT_HAPPENED,
    COMMIT_NEVER,   /* and it never will */
    COMMIT_UNKNOWN, /* the database did not come back in time to be asked */
};

/* Called exactly once, from the loop, unless cancelled. */
typedef void commit_lookup_fn(enum commit_fact fact, void *arg);

/* attempt is copied; its id says when it was sent. until_us on the monotonic clock. */
MUST_CHECK bool commit_lookup_start(struct runtime *runtime, const char *attempt, int64_t until_us,
                                    commit_lookup_fn *done, void *arg, struct commit_lookup **out,
                                    struct fault *fault);
void commit_lookup_cancel(struct commit_lookup *lookup); /* NULL is fine */
