#include "job_runner.h"

#include "clock.h"
#include "instance_sweep.h"
#include "job_runner_private.h"
#include "overseer.h"
#include "pg_array.h"
#include "runtime_sql.h"
#include "workflow_loader.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CARE_EVERY_US = 1000 * 1000,        /* timers, take-over */
    SWEEP_EVERY_US = 600 * 1000 * 1000, /* old rows */
    KEEP_DAYS = 30,
    EXTEND_EVERY_US = 15 * 1000 * 1000, /* claims of what is at hand */
};

void job_runner_arm(struct job_runner *runner, int64_t delay_us)
{
    struct timeval delay =
        clock_timeval_us((int64_t)((double)delay_us * (0.75 + clock_jitter() / 2)));
    if (delay_us > 0)
        event_add(runner->timer, &delay);
    else
        event_active(runner->timer, EV_TIMEOUT, 0);
}

void job_runner_warn(const struct job_runner *runner, const char *what, const struct fault *fault)
{
    if (runner->runtime->options.log)
        log_line(runner->runtime->options.log, LOG_LEVEL_WARNING, "jobs", "%s: %s", what,
                 fault->text);
}

void job_runner_add_ids(const struct job_runner *runner, struct text *ids)
{
    const struct job_line *const lines[] = {&runner->waiting, &runner->running, &runner->ended,
                                            &runner->writing};
    const struct job *job;
    text_init(ids, JOB_IDS_BYTES_MAX);
    pg_array_begin(ids);
    for (int i = 0; i < 4; i++) {
        TAILQ_FOREACH(job, lines[i], link)
        {
            pg_array_add(ids, job->id);
        }
    }
    pg_array_end(ids);
}

/* ---- timers, take-over, claims of long work ---- */

static void on_cared(struct pg_answer *answer, void *arg)
{
    struct job_runner *runner = arg;
    runner->care = NULL;
    if (answer->fault.kind && !answer->nothing_sent)
        job_runner_warn(runner, "timers and take-over", &answer->fault);
}

static void add_extension(struct job_runner *runner, struct pg_pipeline *pipeline)
{
    struct text ids;
    char claim_ms[24];
    struct fault fault;
    snprintf(claim_ms, sizeof claim_ms, "%d", JOB_CLAIM_MS);
    job_runner_add_ids(runner, &ids);
    const char *params[] = {runner->runtime->process_id, claim_ms, text_chars(&ids)};
    if (text_ok(&ids, &fault))
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_JOB_EXTEND, 3, params);
    text_done(&ids);
}

static void add_take_over(struct job_runner *runner, struct pg_pipeline *pipeline)
{
    char ownership_ms[24], id[UUID_TEXT_BYTES];
    uuid_draw(&runner->runtime->uuids, id);
    snprintf(ownership_ms, sizeof ownership_ms, "%lld",
             (long long)(runner->runtime->options.ownership_us / 1000));
    const char *params[] = {runner->runtime->process_id, ownership_ms, id};
    pg_pipeline_add(pipeline, PG_PREPARED, SQL_INSTANCE_TAKE_OVER, 3, params);
}

static void care(struct job_runner *runner, int64_t now_us)
{
    char id[UUID_TEXT_BYTES];
    const char *timers[] = {id};
    struct fault fault;
    if (runner->care || now_us - runner->care_us < runner->options.care_us)
        return;
    runner->care_us = now_us;
    struct pg_pipeline *pipeline = errand_pipeline();
    if (pipeline && !runner->draining) {
        uuid_draw(&runner->runtime->uuids, id);
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_TRIGGER_FIRE, 1, timers);
        if (overseer_may_judge(runner->runtime->overseer))
            add_take_over(runner, pipeline);
        if (now_us - runner->sweep_us > runner->runtime->options.ownership_us) {
            runner->sweep_us = now_us;
            instance_sweep_add(runner->runtime, pipeline);
        }
    }
    if (pipeline && now_us - runner->extend_us > EXTEND_EVERY_US &&
        runner->n_running + runner->n_waiting > 0) {
        runner->extend_us = now_us;
        add_extension(runner, pipeline);
    }
    if (pipeline && pg_pipeline_length(pipeline) == 1) /* BEGIN alone */
        pg_pipeline_free(pipeline);
    else if (!errand_start(runner->runtime, PG_POOL_ORDINARY, pipeline,
                           overseer_judgement_us(runner->runtime->overseer), JOB_ANSWER_US,
                           on_cared, runner, &runner->care, &fault))
        job_runner_warn(runner, "timers and take-over", &fault);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct job_runner *runner = arg;
    (void)fd;
    (void)what;
    job_work_start_waiting(runner);
    job_claim_give_back(runner, /* all= */ false);
    job_end_write(runner);
    job_claim_send(runner);
    care(runner, clock_monotonic_us());
    job_runner_arm(runner, JOB_TICK_US);
}

/* ---- life ---- */

struct background_options runtime_default_background(void)
{
    return (struct background_options){.jobs_max = 64,
                                       .jobs_fast_max = 512,
                                       .care_us = CARE_EVERY_US,
                                       .keep_history_ms = (int64_t)KEEP_DAYS * 24 * 3600 * 1000,
                                       .sweep_us = SWEEP_EVERY_US};
}

bool job_runner_new(struct runtime *runtime, const struct background_options *options,
                    struct job_runner **out, struct fault *fault)
{
    struct job_runner *runner = calloc(1, sizeof *runner);
    if (!runner)
        return fault_no_memory(fault);
    runner->runtime = runtime;
    runner->options = *options;
    TAILQ_INIT(&runner->waiting);
    TAILQ_INIT(&runner->running);
    TAILQ_INIT(&runner->ended);
    TAILQ_INIT(&runner->writing);
    runner->timer = event_new(runtime->base, -1, 0, on_tick, runner);
    if (!runner->timer) {
        job_runner_free(runner);
        return fault_no_memory(fault);
    }
    job_runner_arm(runner, JOB_SOON_US);
    *out = runner;
    return true;
}

void job_runner_drain(struct job_runner *runner)
{
    runner->draining = true;
    if (runner->claim && !runner->claim_counts) {
        runner->claim_counts = true;
        runner->runtime->n_running++;
    }
    job_claim_give_back(runner, /* all= */ true);
    job_end_write(runner);
}

static void free_line(struct job_line *line)
{
    struct job *job;
    while ((job = TAILQ_FIRST(line))) {
        TAILQ_REMOVE(line, job, link);
        job_end_free(job);
    }
}

void job_runner_abandon(struct job_runner *runner)
{
    struct job *job = TAILQ_FIRST(&runner->running), *next;
    event_del(runner->timer);
    errand_cancel(runner->claim);
    errand_cancel(runner->care);
    errand_cancel(runner->end);
    runner->claim = runner->care = runner->end = NULL;
    runner->runtime->n_running -= runner->claim_counts;
    runner->claim_counts = false;
    free_line(&runner->waiting);
    free_line(&runner->ended);
    free_line(&runner->writing);
    runner->n_waiting = 0;
    for (; job; job = next) {
        next = TAILQ_NEXT(job, link);
        if (job->runs)
            continue; /* its done comes */
        workflow_loader_cancel(job->load);
        TAILQ_REMOVE(&runner->running, job, link);
        runner->n_running--;
        job_end_free(job);
    }
}

void job_runner_free(struct job_runner *runner)
{
    if (!runner)
        return;
    free_line(&runner->waiting);
    free_line(&runner->running);
    free_line(&runner->ended);
    free_line(&runner->writing);
    if (runner->timer)
        event_free(runner->timer);
    free(runner);
}
