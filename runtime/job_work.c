/*
 * Jobs that run: claimed --> definition loaded --> execution or delivery --> its fate.
 */
#include "clock.h"
#include "job_runner_private.h"
#include "workflow_loader.h"

static enum job_fate fate_of(const struct result *result)
{
    if (result->job_lost)
        return JOB_AGAIN;
    if (result->replayed)
        return JOB_ENDED; /* its work was done under the key before */
    switch (result->status) {
    case STATUS_COMPLETED:
    case STATUS_IDLE:
    case STATUS_QUEUED: return JOB_GONE;
    case STATUS_UNKNOWN: return JOB_GONE; /* if its row is still there, the next claims find it */
    case STATUS_LOCKED: return JOB_AGAIN;
    case STATUS_FAILED:
    case STATUS_EXPIRED:
    case STATUS_CONFLICT: return JOB_FAILED;
    case STATUS_BLOCKED:
    case STATUS_MISSING:
    case STATUS_INVALID: return JOB_ENDED;
    }
    return JOB_GONE;
}

/* It has run, or could not begin. */
static void end(struct job *job, enum job_fate fate, enum execution_status status,
                const char *error)
{
    struct job_runner *runner = job->runner;
    TAILQ_REMOVE(&runner->running, job, link);
    runner->n_running--;
    runner->n_alone -= job->alone;
    job_end(job, fate, status, error);
    if (runner->runtime->stopping)
        return;
    if (runner->n_waiting > 0)
        job_runner_arm(runner, 0);
    else if (runner->hungry || !TAILQ_EMPTY(&runner->ended))
        job_runner_arm(runner, JOB_SOON_US);
}

static void on_done(const struct result *result, void *arg)
{
    struct job *job = arg;
    bool stopping = job->runner->runtime->stopping;
    enum job_fate fate = fate_of(result);
    if (result->status == STATUS_UNKNOWN)
        job->runner->doubts_until_us = clock_monotonic_us() + JOB_CLAIM_MS * 1000;
    if (fate == JOB_GONE)
        job_claim_note_done(job->runner);
    end(job, stopping ? JOB_GONE : fate, result->status, result->reason);
}

/* The store was asked. What is not in it may still be published, so the job has its attempts; a
 * version that this program cannot read is one for another host, so it keeps them. */
static void end_unloaded(struct job *job, const struct fault *fault)
{
    if (fault->kind == FAULT_MISSING)
        end(job, JOB_FAILED, STATUS_MISSING, fault->text);
    else
        end(job, JOB_AGAIN, fault->kind == FAULT_INVALID ? STATUS_INVALID : STATUS_FAILED,
            fault->text);
}

static void on_loaded(struct workflow *workflow, const struct fault *fault, void *arg)
{
    struct job *job = arg;
    struct fault failed;
    job->load = NULL;
    if (!workflow) {
        end_unloaded(job, fault);
        return;
    }
    struct submission submission = {.workflow = workflow,
                                    .input = job->input,
                                    .id = job->instance,
                                    .key = job->key,
                                    .job = job->id,
                                    .alone = job->alone,
                                    .done = on_done,
                                    .arg = job};
    job->runs = true;
    if (!runtime_submit(job->runner->runtime, &submission, &failed))
        end(job, JOB_AGAIN, STATUS_FAILED, failed.text);
}

static bool begin(struct job *job, struct fault *fault)
{
    struct runtime *runtime = job->runner->runtime;
    if (job->starts)
        return workflow_loader_get(runtime, job->workflow, job->version, on_loaded, job, &job->load,
                                   fault);
    struct delivery delivery = {.instance = job->instance,
                                .event = job->event,
                                .payload = job->input,
                                .job = job->id,
                                .alone = job->alone,
                                .done = on_done,
                                .arg = job};
    job->runs = true;
    return runtime_deliver(runtime, &delivery, fault);
}

void job_work_start(struct job *job)
{
    struct job_runner *runner = job->runner;
    struct fault fault;
    TAILQ_INSERT_TAIL(&runner->running, job, link);
    runner->n_running++;
    runner->n_alone += job->alone;
    if (job->worn_out)
        end(job, JOB_FAILED, STATUS_UNKNOWN, "its host died while it ran");
    else if (!begin(job, &fault))
        end(job, JOB_AGAIN, STATUS_FAILED, fault.text);
}

void job_work_start_waiting(struct job_runner *runner)
{
    struct job *job;
    int n_max = job_claim_running_max(runner);
    while (runner->n_running < n_max && (job = TAILQ_FIRST(&runner->waiting))) {
        TAILQ_REMOVE(&runner->waiting, job, link);
        runner->n_waiting--;
        runner->runtime->n_running--; /* from here on it counts as an execution */
        job->counts = false;
        job_work_start(job);
    }
}
