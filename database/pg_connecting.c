#include "pg_connecting.h"

#include <string.h>

static bool starts_with(const char *chars, const char *start)
{
    return strncmp(chars, start, strlen(start)) == 0;
}

static bool is_readable(const char *conninfo, struct fault *fault)
{
    char *message = NULL;
    bool is_uri = starts_with(conninfo, "postgres://") || starts_with(conninfo, "postgresql://");
    if (!is_uri && !strchr(conninfo, '='))
        return true; /* the name of a database, or nothing */
    PQconninfoOption *options = PQconninfoParse(conninfo, &message);
    if (options) {
        PQconninfoFree(options);
        return true;
    }
    if (message)
        fault_set(fault, FAULT_INVALID, "%.*s", (int)strcspn(message, "\n"), message);
    else
        fault_no_memory(fault);
    PQfreemem(message);
    return false;
}

bool pg_connecting_start(const struct pg_conn_options *options, PGconn **out, struct fault *fault)
{
    /* What stands before dbname are defaults: the caller's string wins. A dead peer is found within
     * half a minute; the system's own defaults are hours. */
    const char *const keywords[] = {
        "fallback_application_name", "keepalives_idle", "keepalives_interval", "keepalives_count",
        "tcp_user_timeout",          "dbname",          "client_encoding",     NULL};
    const char *const values[] = {options->application_name, "10",   "5", "3", "25000",
                                  options->conninfo,         "UTF8", NULL};
    if (!is_readable(options->conninfo, fault))
        return false;
    PGconn *pq = PQconnectStartParams(keywords, values, /* expand_dbname= */ 1);
    if (!pq)
        return fault_no_memory(fault);
    PQsetErrorVerbosity(pq, PQERRORS_VERBOSE); /* the only way to a sqlstate while connecting */
    if (PQstatus(pq) == CONNECTION_BAD && starts_with(PQerrorMessage(pq), "invalid ")) {
        pg_fault_from_connecting(pq, fault); /* an option's value */
        fault->kind = FAULT_INVALID;
        PQfinish(pq);
        return false;
    }
    *out = pq;
    return true;
}
