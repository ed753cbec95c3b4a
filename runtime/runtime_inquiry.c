#include "runtime_inquiry.h"

#include "errand.h"
#include "runtime_state.h"

#include <stdlib.h>

enum {
    CONNECTION_WAIT_US = 10 * 1000 * 1000,
    ANSWER_US = 10 * 1000 * 1000,
};

struct runtime_inquiry {
    struct errand *errand;
    runtime_inquired_fn *done;
    void *arg;
    LIST_ENTRY(runtime_inquiry) link;
};

static void tell(struct runtime_inquiry *inquiry, const PGresult *rows, const struct fault *fault)
{
    runtime_inquired_fn *done = inquiry->done;
    void *arg = inquiry->arg;
    LIST_REMOVE(inquiry, link);
    free(inquiry);
    done(rows, fault, arg);
}

static void on_answer(struct pg_answer *answer, void *arg)
{
    struct runtime_inquiry *inquiry = arg;
    if (answer->fault.kind)
        tell(inquiry, NULL, &answer->fault);
    else
        tell(inquiry, answer->results[0], NULL);
}

bool runtime_inquire(struct runtime *runtime, const char *text, int n_params,
                     const char *const *params, runtime_inquired_fn *done, void *arg,
                     struct fault *fault)
{
    if (runtime->stopping)
        return fault_set(fault, FAULT_CANCELLED, "the host is stopping");
    struct runtime_inquiry *inquiry = calloc(1, sizeof *inquiry);
    struct pg_pipeline *pipeline = inquiry ? pg_pipeline_new() : NULL;
    if (!pipeline) {
        free(inquiry);
        return fault_no_memory(fault);
    }
    *inquiry = (struct runtime_inquiry){.done = done, .arg = arg};
    pg_pipeline_add(pipeline, PG_PREPARED, text, n_params, params);
    if (!errand_start(runtime, PG_POOL_ORDINARY, pipeline, CONNECTION_WAIT_US, ANSWER_US, on_answer,
                      inquiry, &inquiry->errand, fault)) {
        free(inquiry);
        return false;
    }
    LIST_INSERT_HEAD(&runtime->inquiries, inquiry, link);
    return true;
}

void runtime_inquiry_abandon_all(struct runtime *runtime)
{
    struct fault fault;
    fault_set(&fault, FAULT_CANCELLED, "the host is stopping");
    while (!LIST_EMPTY(&runtime->inquiries)) {
        struct runtime_inquiry *inquiry = LIST_FIRST(&runtime->inquiries);
        errand_cancel(inquiry->errand);
        tell(inquiry, NULL, &fault);
    }
}
