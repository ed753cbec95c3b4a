#include "latchkey_fault.h"

#include "execution_status.h"
#include "log.h"

#include <stdio.h>
#include <string.h>

#define SAME(theirs, ours) _Static_assert((int)(theirs) == (int)(ours), #theirs " is " #ours)

SAME(LATCHKEY_FAULT_NONE, FAULT_NONE);
SAME(LATCHKEY_FAULT_INVALID, FAULT_INVALID);
SAME(LATCHKEY_FAULT_MISSING, FAULT_MISSING);
SAME(LATCHKEY_FAULT_CONFLICT, FAULT_CONFLICT);
SAME(LATCHKEY_FAULT_DATABASE, FAULT_DATABASE);
SAME(LATCHKEY_FAULT_SCRIPT, FAULT_SCRIPT);
SAME(LATCHKEY_FAULT_EXHAUSTED, FAULT_EXHAUSTED);
SAME(LATCHKEY_FAULT_CANCELLED, FAULT_CANCELLED);
SAME(LATCHKEY_FAULT_UNKNOWN, FAULT_UNKNOWN);

SAME(LATCHKEY_COMPLETED, STATUS_COMPLETED);
SAME(LATCHKEY_IDLE, STATUS_IDLE);
SAME(LATCHKEY_QUEUED, STATUS_QUEUED);
SAME(LATCHKEY_LOCKED, STATUS_LOCKED);
SAME(LATCHKEY_BLOCKED, STATUS_BLOCKED);
SAME(LATCHKEY_MISSING, STATUS_MISSING);
SAME(LATCHKEY_CONFLICT, STATUS_CONFLICT);
SAME(LATCHKEY_EXPIRED, STATUS_EXPIRED);
SAME(LATCHKEY_FAILED, STATUS_FAILED);
SAME(LATCHKEY_INVALID, STATUS_INVALID);
SAME(LATCHKEY_UNKNOWN, STATUS_UNKNOWN);
SAME(STATUS_COUNT, LATCHKEY_UNKNOWN + 1);

SAME(LATCHKEY_LOG_DEBUG, LOG_LEVEL_DEBUG);
SAME(LATCHKEY_LOG_INFO, LOG_LEVEL_INFO);
SAME(LATCHKEY_LOG_WARNING, LOG_LEVEL_WARNING);
SAME(LATCHKEY_LOG_ERROR, LOG_LEVEL_ERROR);

bool latchkey_fault_tell(const struct fault *fault, struct latchkey_fault *out)
{
    *out = (struct latchkey_fault){.kind = (enum latchkey_fault_kind)fault->kind};
    snprintf(out->sqlstate, sizeof out->sqlstate, "%s", fault->sqlstate);
    snprintf(out->text, sizeof out->text, "%s", fault->text);
    return false;
}

const struct latchkey_fault *latchkey_fault_lend(const struct fault *fault,
                                                 struct latchkey_fault *room)
{
    if (!fault)
        return NULL;
    latchkey_fault_tell(fault, room);
    return room;
}
