#include "errand.h"

#include "runtime_state.h"

#include <assert.h>
#include <stdlib.h>

struct errand {
    struct runtime *runtime;
    struct pg_pipeline *pipeline;
    struct pg_request *request;
    struct pg_conn *conn;
    int64_t answer_us;
    errand_fill_fn *fill; /* NULL: the pipeline is as it is to be sent */
    errand_done_fn *done;
    void *arg;
};

static void free_errand(struct errand *errand)
{
    pg_pipeline_free(errand->pipeline);
    free(errand);
}

static void on_answer(struct pg_answer *answer, void *arg)
{
    struct errand *errand = arg;
    errand_done_fn *done = errand->done;
    void *done_arg = errand->arg;
    if (errand->conn)
        pg_pool_give(errand->runtime->pool, errand->conn);
    free_errand(errand);
    done(answer, done_arg);
}

static void on_connection(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct errand *errand = arg;
    struct pg_answer answer = {
        .failed = -1, .warned = -1, .connection_lost = true, .nothing_sent = true};
    errand->request = NULL;
    errand->conn = conn;
    if (conn && errand->fill)
        errand->fill(errand->pipeline, errand->arg);
    if (!conn)
        answer.fault = *fault;
    else if (pg_conn_send(conn, errand->pipeline, errand->answer_us, on_answer, errand,
                          &answer.fault))
        return;
    on_answer(&answer, errand);
}

struct pg_pipeline *errand_pipeline(void)
{
    struct pg_pipeline *pipeline = pg_pipeline_new();
    if (pipeline)
        pg_pipeline_begin(pipeline);
    return pipeline;
}

bool errand_start(struct runtime *runtime, enum pg_pool_line line, struct pg_pipeline *pipeline,
                  int64_t wait_us, int64_t answer_us, errand_done_fn *done, void *arg,
                  struct errand **out, struct fault *fault)
{
    struct errand *errand = pipeline ? calloc(1, sizeof *errand) : NULL;
    if (!errand) {
        pg_pipeline_free(pipeline);
        return fault_no_memory(fault);
    }
    if (pg_pipeline_has_begun(pipeline))
        pg_pipeline_commit(pipeline);
    *errand = (struct errand){
        .runtime = runtime, .pipeline = pipeline, .answer_us = answer_us, .done = done, .arg = arg};
    if (!pg_pool_take(runtime->pool, line, wait_us, on_connection, errand, &errand->request,
                      fault)) {
        free_errand(errand);
        return false;
    }
    *out = errand;
    return true;
}

void errand_fill_late(struct errand *errand, errand_fill_fn *fill)
{
    assert(!pg_pipeline_has_begun(errand->pipeline));
    errand->fill = fill;
}

void errand_cancel(struct errand *errand)
{
    if (!errand)
        return;
    if (errand->request)
        pg_pool_cancel(errand->request);
    if (errand->conn)
        pg_pool_give(errand->runtime->pool, errand->conn);
    free_errand(errand);
}
