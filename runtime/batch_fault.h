/*
 * What an error of the database means for an execution that was alone in its transaction.
 * From the SQLSTATE (PostgreSQL documentation, appendix A) and latchkey's own LK001, LK002, LK004.
 */
#pragma once
#include "fault.h"

enum fault_meaning {
    MEANS_CONFLICT,   /* rows changed by somebody without the lock: on-conflict decides */
    MEANS_COLLISION,  /* deadlock, serialization, a row locked too long: run again */
    MEANS_EXPIRED,    /* the server's own limit of the transaction passed */
    MEANS_LEASE_GONE, /* the rows of its lease were not there, or expired, at its end */
    MEANS_OVERDUE,    /* ended from outside: expired if its time was over, otherwise run again */
    MEANS_AWAY,       /* connection or server gone, or full: run again after a pause */
    MEANS_SCHEMA,     /* a table or column that does not exist (any more) */
    MEANS_STALE_PLAN, /* a prepared plan no longer fits: run again at once */
    MEANS_REFUSED,    /* the database refused: failed */
};

/* An empty sqlstate is a lost connection. */
enum fault_meaning batch_fault_meaning(const struct fault *fault);
