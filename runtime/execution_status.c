#include "execution_status.h"

#include <string.h>

static const struct execution_status_row rows[STATUS_COUNT] = {
    {STATUS_COMPLETED, "completed", true, 0, 200, "ran, committed, the workflow ended"},
    {STATUS_IDLE, "idle", true, 0, 200, "ran, committed, waits for an event"},
    {STATUS_QUEUED, "queued", false, 0, 202, "accepted for the background"},
    {STATUS_LOCKED, "locked", false, 3, 423, "no lock within the acquire timeout; nothing ran"},
    {STATUS_BLOCKED, "blocked", false, 4, 409, "the guard said no"},
    {STATUS_MISSING, "missing", false, 5, 404,
     "no such workflow, activity, instance or required row"},
    {STATUS_CONFLICT, "conflict", false, 1, 409, "rows changed by someone without the lock"},
    {STATUS_EXPIRED, "expired", false, 1, 504, "held longer than the waiting timeout; rolled back"},
    {STATUS_FAILED, "failed", false, 1, 500,
     "the script raised, or the database refused or is away"},
    {STATUS_INVALID, "invalid", false, 2, 400,
     "bad input, definition, lock context, table or column"},
    {STATUS_UNKNOWN, "unknown", false, 75, 503, "the commit's answer was lost"},
};

const struct execution_status_row *execution_status_row(enum execution_status status)
{
    return &rows[status];
}

enum execution_status execution_status_of_fault(enum fault_kind kind)
{
    switch (kind) {
    case FAULT_MISSING: return STATUS_MISSING;
    case FAULT_INVALID: return STATUS_INVALID;
    case FAULT_CONFLICT: return STATUS_CONFLICT;
    case FAULT_UNKNOWN: return STATUS_UNKNOWN;
    case FAULT_NONE:
    case FAULT_DATABASE:
    case FAULT_SCRIPT:
    case FAULT_EXHAUSTED:
    case FAULT_CANCELLED: return STATUS_FAILED;
    }
    return STATUS_FAILED;
}

enum execution_status execution_status_worst(const long counts[STATUS_COUNT])
{
    static const enum execution_status order[] = {
        STATUS_UNKNOWN, STATUS_INVALID,  STATUS_MISSING, STATUS_FAILED,
        STATUS_EXPIRED, STATUS_CONFLICT, STATUS_LOCKED,  STATUS_BLOCKED,
    };
    for (int i = 0; i < (int)(sizeof order / sizeof *order); i++)
        if (counts[order[i]] > 0)
            return order[i];
    return STATUS_COMPLETED;
}

bool execution_status_named(const char *name, enum execution_status *out)
{
    for (int i = 0; i < STATUS_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *out = rows[i].status;
            return true;
        }
    }
    return false;
}
