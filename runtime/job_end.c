/*
 * What became of jobs that kept nothing is written here, many in one statement.
 */
#include "job_runner_private.h"
#include "pg_array.h"
#include "runtime_sql.h"

#include <stdlib.h>
#include <string.h>

enum {
    CONNECTION_WAIT_US = 5 * 1000 * 1000,
    COLUMNS = 4, /* id, fate, status, error */
};

void job_end_free(struct job *job)
{
    job->runner->runtime->n_running -= job->counts;
    json_decref(job->input);
    free(job->workflow);
    free(job->event);
    free(job->error);
    free(job->key);
    free(job);
}

void job_end(struct job *job, enum job_fate fate, enum execution_status status, const char *error)
{
    if (fate == JOB_GONE) {
        job_end_free(job);
        return;
    }
    job->fate = fate;
    job->status = status;
    job->error = error && *error ? strdup(error) : NULL;
    TAILQ_INSERT_TAIL(&job->runner->ended, job, link);
}

static const char *fate_name(enum job_fate fate)
{
    switch (fate) {
    case JOB_BACK: return "back";
    case JOB_AGAIN: return "again";
    case JOB_FAILED: return "failed";
    case JOB_ENDED: return "ended";
    case JOB_GONE: break;
    }
    return "";
}

static void on_ended(struct pg_answer *answer, void *arg)
{
    struct job_runner *runner = arg;
    struct job *job;
    runner->end = NULL;
    if (answer->fault.kind) { /* nothing is lost: their claims run out */
        TAILQ_CONCAT(&runner->ended, &runner->writing, link);
        return;
    }
    while ((job = TAILQ_FIRST(&runner->writing))) {
        TAILQ_REMOVE(&runner->writing, job, link);
        job_end_free(job);
    }
}

void job_end_write(struct job_runner *runner)
{
    struct text columns[COLUMNS];
    const char *params[COLUMNS + 1] = {runner->runtime->process_id};
    struct fault fault;
    struct job *job;
    bool ok = true;
    if (runner->end || TAILQ_EMPTY(&runner->ended))
        return;
    for (int i = 0; i < COLUMNS; i++) {
        text_init(&columns[i], JOB_IDS_BYTES_MAX);
        pg_array_begin(&columns[i]);
    }
    TAILQ_FOREACH(job, &runner->ended, link)
    {
        pg_array_add(&columns[0], job->id);
        pg_array_add(&columns[1], fate_name(job->fate));
        pg_array_add(&columns[2], execution_status_row(job->status)->name);
        pg_array_add(&columns[3], job->error);
    }
    for (int i = 0; i < COLUMNS; i++) {
        pg_array_end(&columns[i]);
        params[i + 1] = text_chars(&columns[i]);
        ok = ok && text_ok(&columns[i], &fault);
    }
    struct pg_pipeline *pipeline = ok ? errand_pipeline() : NULL;
    if (pipeline)
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_JOB_END, COLUMNS + 1, params);
    if (errand_start(runner->runtime, PG_POOL_ORDINARY, pipeline, CONNECTION_WAIT_US, JOB_ANSWER_US,
                     on_ended, runner, &runner->end, &fault))
        TAILQ_CONCAT(&runner->writing, &runner->ended, link);
    for (int i = 0; i < COLUMNS; i++)
        text_done(&columns[i]);
}
