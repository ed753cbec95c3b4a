#include "job_retry.h"

#include "errand.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <stdlib.h>

enum {
    CONNECTION_WAIT_US = 10 * 1000 * 1000,
    ANSWER_US = 10 * 1000 * 1000,
};

struct job_retry {
    struct runtime *runtime;
    struct errand *errand;
    int at_retry; /* index of the statement */
    runtime_retried_fn *done;
    void *arg;
    LIST_ENTRY(job_retry) link;
};

static void tell(struct job_retry *retry, enum execution_status status, const char *reason)
{
    runtime_retried_fn *done = retry->done;
    void *arg = retry->arg;
    LIST_REMOVE(retry, link);
    free(retry);
    done(status, reason, arg);
}

static void on_answer(struct pg_answer *answer, void *arg)
{
    struct job_retry *retry = arg;
    retry->errand = NULL;
    /* Harmless to ask again, so a lost answer is a failure like any other. */
    if (answer->fault.kind)
        tell(retry, STATUS_FAILED, answer->fault.text);
    else if (answer->connection_lost)
        tell(retry, STATUS_FAILED, "the connection was lost");
    else if (PQntuples(answer->results[retry->at_retry]) == 0)
        tell(retry, STATUS_MISSING, "no such job");
    else if (*PQgetvalue(answer->results[retry->at_retry], 0, 0) != 't')
        tell(retry, STATUS_BLOCKED, "the job is not dead: it runs or will run by itself");
    else
        tell(retry, STATUS_QUEUED, "");
}

bool runtime_retry_job(struct runtime *runtime, const char *id, runtime_retried_fn *done, void *arg,
                       struct fault *fault)
{
    if (runtime->stopping)
        return fault_set(fault, FAULT_CANCELLED, "the host is stopping");
    if (!uuid_is_text(id))
        return fault_set(fault, FAULT_INVALID, "'%.60s' is no job id: it is a UUID", id);
    struct job_retry *retry = calloc(1, sizeof *retry);
    if (!retry)
        return fault_no_memory(fault);
    *retry = (struct job_retry){.runtime = runtime, .done = done, .arg = arg};
    LIST_INSERT_HEAD(&runtime->retries, retry, link);
    struct pg_pipeline *pipeline = errand_pipeline();
    if (pipeline)
        retry->at_retry = pg_pipeline_add(pipeline, PG_PREPARED, SQL_JOB_RETRY, 1, &id);
    if (errand_start(runtime, PG_POOL_ORDINARY, pipeline, CONNECTION_WAIT_US, ANSWER_US, on_answer,
                     retry, &retry->errand, fault))
        return true;
    LIST_REMOVE(retry, link);
    free(retry);
    return false;
}

void job_retry_abandon_all(struct runtime *runtime)
{
    while (!LIST_EMPTY(&runtime->retries)) {
        struct job_retry *retry = LIST_FIRST(&runtime->retries);
        errand_cancel(retry->errand);
        tell(retry, STATUS_FAILED, "the host stopped before it ended");
    }
}
