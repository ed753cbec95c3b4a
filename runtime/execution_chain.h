/*
 * Activities without auto-commit: their changes join the next commit point, and their locks are
 * kept until then. In memory the execution moves on from one to the next; until the commit it can
 * go back to where it was when the transaction began.
 */
#pragma once
#include "execution.h"

struct execution_link {
    const struct activity *activity;
    char *paths; /* joined by line feeds */
    int64_t waited_us;
    int64_t granted_us;
    int64_t ended_us;
    int attempts;
};

struct execution_chain {
    struct activity_plan *first_plan; /* as it was when the transaction began: */
    json_t *vars;
    json_t *output;
    json_t *event;
    int steps;
    int64_t submitted_us;
    struct lock_set *first_locks; /* the ticket's */
    struct lock_set *learnt;      /* all that it was found to need; NULL = what first_locks has */
    struct execution_link *links; /* the activities that have ended, in order */
    int n_links;
};

/* True if an activity that ended so is not to be committed by itself. */
bool execution_chain_continues(const struct execution *execution);

/* The activity ended and another is staged: the execution stands before that one, without locks. */
MUST_CHECK bool execution_chain_step(struct execution *execution, struct fault *fault);

/* These locks are needed too. */
MUST_CHECK bool execution_chain_learn(struct execution *execution, const struct lock_set *set,
                                      struct fault *fault);

/* Back to the first activity: nothing of it was committed. If it has learnt of locks, they are the
 * ones to take next. */
void execution_chain_rewind(struct execution *execution);

/* Frees it; the lock queue must have been left. NULL is fine. */
void execution_chain_free(struct execution_chain *chain);
