#include "pg_script.h"

#include <stdlib.h>

static bool is_copy(ExecStatusType status)
{
    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

/* Not PQexec: of a server that says why and goes away it keeps only that it went away. */
static bool run(PGconn *pq, const char *text, struct fault *fault)
{
    bool ok = PQsendQuery(pq, text) == 1;
    bool copies = false;
    PGresult *result;
    if (!ok)
        pg_fault_from_broken(pq, fault);
    while (!copies && (result = PQgetResult(pq))) {
        ExecStatusType status = PQresultStatus(result);
        copies = is_copy(status);
        if (ok && copies)
            ok = fault_set(fault, FAULT_INVALID, "a script cannot COPY");
        if (ok && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
            pg_fault_from_result(result, fault);
            ok = false;
        }
        PQclear(result);
    }
    return ok;
}

bool pg_script_run(PGconn *pq, const struct pg_statements *statements, const char *text,
                   struct fault *fault)
{
    char *rendered = pg_statements_render(statements, text);
    if (!rendered)
        return fault_no_memory(fault);
    PQexitPipelineMode(pq);
    PQsetnonblocking(pq, 0);
    bool ok = run(pq, rendered, fault);
    free(rendered);
    return ok;
}
