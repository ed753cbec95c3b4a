/*
 * One transaction that changes published definitions, under lock paths of latchkey's own: takes a
 * connection and the locks, looks, leaves it to its owner what to write, and commits. Small and
 * rare: the notice of a change comes from here and never from the work itself.
 *
 *   start --> CONNECTING --> LOCKING --granted--> HELD --commit--> COMMITTING --> done
 *                  ^____________/ \___refused_____  \__drop____________________^
 *          the connection or a        (rolled back) \--------------------------^
 *          deadlock was lost: again
 */
#pragma once
#include "pg_pipeline.h"

struct definition_change;
struct runtime;

enum definition_change_end {
    CHANGE_COMMITTED,
    CHANGE_REFUSED, /* somebody holds one of the paths; nothing was done */
    CHANGE_DROPPED, /* its owner had nothing to write */
    CHANGE_FAILED,  /* the fault says why; FAULT_UNKNOWN: the commit's answer was lost */
};

struct definition_change_options {
    /* $definitions/NAME each, in any order, with duplicates; n_names 0 = $definitions, which
     * excludes them all. Lent for the call. */
    const char *const *names;
    int n_names;
    int wait_ms; /* for the locks, over all; 0 = tries once */

    /* Adds the statements that look, which run after the grant. May be called again. */
    void (*look)(struct pg_pipeline *pipeline, void *arg);

    /* The locks are held, results are what `look` asked for, lent for the call (set one to NULL to
     * keep it). Then, now or later: definition_change_commit or definition_change_drop. May be
     * called again, when the connection was lost meanwhile: nothing had been written. */
    void (*held)(PGresult **results, void *arg);

    /* Exactly once, from the loop, never before start has returned. fault is for CHANGE_FAILED. The
     * change is freed after it. */
    void (*done)(enum definition_change_end end, const struct fault *fault, void *arg);
    void *arg;
};

/* Names that cannot be a lock path (empty, too long, not UTF-8) are FAULT_INVALID. */
MUST_CHECK bool definition_change_start(struct runtime *runtime,
                                        const struct definition_change_options *options,
                                        struct definition_change **out, struct fault *fault);

/* Rolls back by closing the connection; done is not called. NULL is fine. */
void definition_change_cancel(struct definition_change *change);

/* While the locks are held: statements to write go in here. Empty at `held`. */
struct pg_pipeline *definition_change_pipeline(struct definition_change *change);

void definition_change_commit(struct definition_change *change);

/* Rolls back. fault NULL: there is nothing to write; otherwise done is told CHANGE_FAILED. */
void definition_change_drop(struct definition_change *change, const struct fault *fault);
