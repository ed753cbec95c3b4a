#include "lease_sweep.h"

#include "errand.h"
#include "runtime_sql.h"
#include "runtime_state.h"
#include "scheduler.h"

#include <stdlib.h>

enum {
    CONNECTION_WAIT_US = 2 * 1000 * 1000,
    ANSWER_US = 5 * 1000 * 1000,
};

struct lease_sweep {
    struct runtime *runtime;
    struct errand *errand;
    int at_sweep;
};

/* Where it failed, who was refused comes again. */
static void on_swept(struct pg_answer *answer, void *arg)
{
    struct lease_sweep *sweep = arg;
    sweep->errand = NULL;
    if (!answer->fault.kind && atoll(PQgetvalue(answer->results[sweep->at_sweep], 0, 0)) > 0)
        scheduler_lease_ended(sweep->runtime->scheduler);
}

void lease_sweep_start(struct lease_sweep *sweep)
{
    struct fault ignored;
    if (sweep->errand || sweep->runtime->stopping)
        return;
    struct pg_pipeline *pipeline = errand_pipeline();
    if (pipeline)
        sweep->at_sweep = pg_pipeline_add(pipeline, PG_PREPARED, SQL_LEASE_SWEEP, 0, NULL);
    if (!errand_start(sweep->runtime, PG_POOL_FIRST, pipeline, CONNECTION_WAIT_US, ANSWER_US,
                      on_swept, sweep, &sweep->errand, &ignored))
        sweep->errand = NULL;
}

bool lease_sweep_new(struct runtime *runtime, struct lease_sweep **out, struct fault *fault)
{
    struct lease_sweep *sweep = calloc(1, sizeof *sweep);
    if (!sweep)
        return fault_no_memory(fault);
    sweep->runtime = runtime;
    *out = sweep;
    return true;
}

void lease_sweep_free(struct lease_sweep *sweep)
{
    if (!sweep)
        return;
    errand_cancel(sweep->errand);
    free(sweep);
}
