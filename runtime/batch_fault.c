#include "batch_fault.h"

#include <string.h>

struct meaning_row {
    const char *prefix; /* of the SQLSTATE */
    enum fault_meaning meaning;
};

/* The first row that fits counts. */
static const struct meaning_row meanings[] = {
    {"LK001", MEANS_CONFLICT},   /* expect(): a row count that was not met */
    {"LK002", MEANS_EXPIRED},    /* still_in_time() */
    {"LK004", MEANS_LEASE_GONE}, /* expect_lease() */
    {"40", MEANS_COLLISION},     /* serialization failure, deadlock */
    {"55P03", MEANS_COLLISION},  /* lock not available: lock_timeout */
    {"57014", MEANS_OVERDUE},    /* query canceled: statement_timeout, or an operator */
    {"25P03", MEANS_EXPIRED},    /* idle in transaction session timeout */
    {"25P04", MEANS_EXPIRED},    /* transaction timeout */
    {"57P01", MEANS_OVERDUE},    /* terminated by another session */
    {"57P", MEANS_AWAY},         /* crash shutdown, cannot connect now, database dropped */
    {"08P01", MEANS_REFUSED},    /* a wrong number of parameters for a script's SQL */
    {"08", MEANS_AWAY},          /* connection exceptions */
    {"53", MEANS_AWAY},          /* insufficient resources: memory, lock table, connections, disk */
    {"0A000", MEANS_STALE_PLAN}, /* cached plan must not change result type */
    {"26000", MEANS_STALE_PLAN}, /* prepared statement does not exist */
    {"42P01", MEANS_SCHEMA},     /* undefined table */
    {"42703", MEANS_SCHEMA},     /* undefined column */
    {"3F000", MEANS_SCHEMA},     /* undefined schema */
};

enum fault_meaning batch_fault_meaning(const struct fault *fault)
{
    if (fault->sqlstate[0] == '\0')
        return MEANS_AWAY;
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (strncmp(fault->sqlstate, meanings[i].prefix, strlen(meanings[i].prefix)) == 0)
            return meanings[i].meaning;
    return MEANS_REFUSED;
}
