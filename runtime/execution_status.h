/*
 * How an execution may end: the documented statuses, with what each means outside.
 * One table; docs/concepts.md and every way in speak of the same rows.
 */
#pragma once
#include "fault.h"

#include <stdbool.h>

enum execution_status {
    STATUS_COMPLETED, /* ran, committed, the workflow ended */
    STATUS_IDLE,      /* ran, committed, waits for an event */
    STATUS_QUEUED,    /* accepted for the background */
    STATUS_LOCKED,    /* no lock within the acquire timeout; nothing ran */
    STATUS_BLOCKED,   /* the guard said no */
    STATUS_MISSING,   /* no such workflow, activity, instance, or a required row */
    STATUS_CONFLICT,  /* rows changed by someone without the lock, retries used up */
    STATUS_EXPIRED,   /* held longer than the waiting timeout: released, rolled back */
    STATUS_FAILED,    /* the script raised, or the database refused or is away */
    STATUS_INVALID,   /* bad input, definition or lock context; no such table or column */
    STATUS_UNKNOWN,   /* the commit's answer was lost and could not be looked up */
};

enum {
    STATUS_COUNT = STATUS_UNKNOWN + 1,
};

struct execution_status_row {
    enum execution_status status;
    const char *name;
    bool keeps_changes; /* its changes are committed */
    int exit_code;      /* of `latchkey run` */
    int http_status;    /* where the cause says no other */
    const char *meaning;
};

const struct execution_status_row *execution_status_row(enum execution_status status);

/* What a fault comes to that kept an execution from beginning. */
enum execution_status execution_status_of_fault(enum fault_kind kind);

/* The status whose exit code a run of many ends with: the first present in the order unknown,
 * invalid, missing, failed, expired, conflict, locked, blocked; completed if all went well. */
enum execution_status execution_status_worst(const long counts[STATUS_COUNT]);

/* False if no status has that name. */
bool execution_status_named(const char *name, enum execution_status *out);
