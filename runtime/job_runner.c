#include "job_runner.h"

#include "clock.h"
#include "errand.h"
#include "instance_sweep.h"
#include "overseer.h"
#include "pg_array.h"
#include "runtime_sql.h"
#include "runtime_state.h"
#include "workflow_loader.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICK_US = 200 * 1000,
    SOON_US = 1000,
    CLAIM_MS = 60 * 1000,
    CARE_EVERY_US = 1000 * 1000,        /* timers, take-over */
    SWEEP_EVERY_US = 600 * 1000 * 1000, /* old rows */
    KEEP_DAYS = 30,
    EXTEND_EVERY_US = 15 * 1000 * 1000, /* claims of what still runs */
    CONNECTION_WAIT_US = 5 * 1000 * 1000,
    ANSWER_US = 10 * 1000 * 1000,
    IDS_BYTES_MAX = 4 << 20,
    END_COLUMNS = 4, /* id, fate, status, error */
};

/* of job_claim.sql and job_claim_alone.sql */
enum claimed_column {
    CLAIMED_ID,
    CLAIMED_KIND,
    CLAIMED_WORKFLOW,
    CLAIMED_VERSION,
    CLAIMED_INSTANCE,
    CLAIMED_EVENT,
    CLAIMED_PAYLOAD,
    CLAIMED_INPUT,
    CLAIMED_KEY,
    CLAIMED_ALONE,
    CLAIMED_ATTEMPTS,
    CLAIMED_ATTEMPTS_MAX,
};

enum job_fate {
    JOB_GONE,   /* deleted with the work, or not known: nothing to write */
    JOB_AGAIN,  /* costs no attempt */
    JOB_FAILED, /* costs one; after the last it is dead */
    JOB_ENDED,  /* nothing will make it succeed */
};

struct job {
    struct job_runner *runner;
    char id[UUID_TEXT_BYTES];
    char instance[UUID_TEXT_BYTES];
    bool alone;
    bool runs; /* submitted: its done will come */
    json_t *input;
    char *key; /* idempotency key; NULL = none */
    struct workflow_load *load;
    enum job_fate fate;
    enum execution_status status;
    char *error;
    TAILQ_ENTRY(job) link;
};

TAILQ_HEAD(job_line, job);

struct job_runner {
    struct runtime *runtime;
    struct background_options options;
    struct event *timer;
    struct errand *claim;
    struct errand *care;
    struct errand *end;
    struct job_line running;
    struct job_line ended; /* what became of them is to be written */
    struct job_line writing;
    int n_running;
    int n_alone;
    bool draining;
    bool claim_lost;         /* what an earlier claim took is not known */
    bool claims_lost;        /* the claim under way asks for that too */
    int64_t doubts_until_us; /* so long there may be jobs that ended unknown */
    bool hungry;             /* the last claim took all that it might: there is more */
    int64_t care_us;
    int64_t extend_us;
    int64_t sweep_us;
};

static void arm(struct job_runner *runner, int64_t delay_us)
{
    struct timeval delay =
        clock_timeval_us((int64_t)((double)delay_us * (0.75 + clock_jitter() / 2)));
    event_add(runner->timer, &delay);
}

static void warn(const struct job_runner *runner, const char *what, const struct fault *fault)
{
    if (runner->runtime->options.log)
        log_line(runner->runtime->options.log, LOG_LEVEL_WARNING, "jobs", "%s: %s", what,
                 fault->text);
}

/* ---- jobs ---- */

static void free_job(struct job *job)
{
    json_decref(job->input);
    free(job->error);
    free(job->key);
    free(job);
}

static void end_job(struct job *job, enum job_fate fate, enum execution_status status,
                    const char *error)
{
    struct job_runner *runner = job->runner;
    TAILQ_REMOVE(&runner->running, job, link);
    runner->n_running--;
    runner->n_alone -= job->alone;
    if (fate == JOB_GONE) {
        free_job(job);
    } else {
        job->fate = fate;
        job->status = status;
        job->error = error && *error ? strdup(error) : NULL;
        TAILQ_INSERT_TAIL(&runner->ended, job, link);
    }
    if (!runner->runtime->stopping && (runner->hungry || !TAILQ_EMPTY(&runner->ended)))
        arm(runner, SOON_US);
}

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

static void on_done(const struct result *result, void *arg)
{
    struct job *job = arg;
    bool stopping = job->runner->runtime->stopping;
    if (result->status == STATUS_UNKNOWN)
        job->runner->doubts_until_us = clock_monotonic_us() + CLAIM_MS * 1000;
    end_job(job, stopping ? JOB_GONE : fate_of(result), result->status, result->reason);
}

/* The store was asked. What is not in it may still be published, so the job has its attempts; a
 * version that this program cannot read is one for another host, so it keeps them. */
static void end_unloaded(struct job *job, const struct fault *fault)
{
    if (fault->kind == FAULT_MISSING)
        end_job(job, JOB_FAILED, STATUS_MISSING, fault->text);
    else
        end_job(job, JOB_AGAIN, fault->kind == FAULT_INVALID ? STATUS_INVALID : STATUS_FAILED,
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
        end_job(job, JOB_AGAIN, STATUS_FAILED, failed.text);
}

static const char *cell(const PGresult *rows, int row, enum claimed_column column)
{
    return PQgetisnull(rows, row, (int)column) ? NULL : PQgetvalue(rows, row, (int)column);
}

static bool read_json(const PGresult *rows, int row, enum claimed_column column, json_t **out,
                      struct fault *fault)
{
    const char *text = cell(rows, row, column);
    *out = NULL;
    return !text || json_read("the job's row", text, strlen(text), out, fault);
}

static bool start_work(struct job *job, const PGresult *rows, int row, struct fault *fault)
{
    struct runtime *runtime = job->runner->runtime;
    const char *version = cell(rows, row, CLAIMED_VERSION);
    const char *key = cell(rows, row, CLAIMED_KEY);
    if (key && !(job->key = strdup(key)))
        return fault_no_memory(fault);
    if (strcmp(cell(rows, row, CLAIMED_KIND), "start") == 0)
        return read_json(rows, row, CLAIMED_INPUT, &job->input, fault) &&
               workflow_loader_get(runtime, cell(rows, row, CLAIMED_WORKFLOW),
                                   version ? atoi(version) : 0, on_loaded, job, &job->load, fault);
    if (!read_json(rows, row, CLAIMED_PAYLOAD, &job->input, fault))
        return false;
    struct delivery delivery = {.instance = job->instance,
                                .event = cell(rows, row, CLAIMED_EVENT),
                                .payload = job->input,
                                .job = job->id,
                                .alone = job->alone,
                                .done = on_done,
                                .arg = job};
    job->runs = true;
    return runtime_deliver(runtime, &delivery, fault);
}

static void start_job(struct job_runner *runner, const PGresult *rows, int row)
{
    struct fault fault;
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return; /* its claim runs out */
    job->runner = runner;
    job->alone = *cell(rows, row, CLAIMED_ALONE) == 't';
    snprintf(job->id, sizeof job->id, "%s", cell(rows, row, CLAIMED_ID));
    snprintf(job->instance, sizeof job->instance, "%s", cell(rows, row, CLAIMED_INSTANCE));
    TAILQ_INSERT_TAIL(&runner->running, job, link);
    runner->n_running++;
    runner->n_alone += job->alone;
    if (atoi(cell(rows, row, CLAIMED_ATTEMPTS)) >= atoi(cell(rows, row, CLAIMED_ATTEMPTS_MAX)))
        end_job(job, JOB_FAILED, STATUS_UNKNOWN, "its host died while it ran");
    else if (!start_work(job, rows, row, &fault))
        end_job(job, fault.kind == FAULT_INVALID ? JOB_FAILED : JOB_AGAIN, STATUS_FAILED,
                fault.text);
}

/* ---- claiming ---- */

static void on_claimed(struct pg_answer *answer, void *arg)
{
    struct job_runner *runner = arg;
    int n = 0, n_wanted = runner->options.jobs_max - runner->n_running;
    runner->claim = NULL;
    if (answer->fault.kind) {
        runner->hungry = false;
        runner->claim_lost = runner->claim_lost || !answer->nothing_sent;
        if (!answer->nothing_sent)
            warn(runner, "jobs were not fetched", &answer->fault);
        return;
    }
    for (int i = 0; i < answer->n_results; i++) {
        const PGresult *rows = answer->results[i];
        for (int row = 0; row < PQntuples(rows); row++, n++)
            start_job(runner, rows, row);
    }
    runner->hungry = n > 0 && n >= n_wanted;
    runner->claim_lost = runner->claim_lost && !runner->claims_lost;
    runner->claims_lost = false;
}

/* All that it knows to be its own. */
static void add_ids(const struct job_runner *runner, struct text *ids)
{
    const struct job_line *const lines[] = {&runner->running, &runner->ended, &runner->writing};
    const struct job *job;
    text_init(ids, IDS_BYTES_MAX);
    pg_array_begin(ids);
    for (int i = 0; i < 3; i++) {
        TAILQ_FOREACH(job, lines[i], link)
        {
            pg_array_add(ids, job->id);
        }
    }
    pg_array_end(ids);
}

/* A job that ended unknown needs no look-up: the transaction that may have committed deletes its
 * row, and has it locked until it is over. So a row that is there and not locked is work that was
 * not done and will not be. Its claim is this process's, and after it has run out anybody asks the
 * same. */
static bool is_in_doubt(const struct job_runner *runner)
{
    return clock_monotonic_us() < runner->doubts_until_us;
}

static void claim(struct job_runner *runner)
{
    char claim_ms[24], ownership_ms[24], limit[24];
    struct fault fault;
    int n_free = runner->options.jobs_max - runner->n_running;
    if (runner->claim || runner->draining || n_free <= 0)
        return;
    snprintf(claim_ms, sizeof claim_ms, "%d", CLAIM_MS);
    snprintf(limit, sizeof limit, "%d", n_free);
    snprintf(ownership_ms, sizeof ownership_ms, "%lld",
             (long long)(runner->runtime->options.ownership_us / 1000));
    struct text ids;
    add_ids(runner, &ids);
    runner->claims_lost = (runner->claim_lost || is_in_doubt(runner)) && !ids.failed;
    const char *fresh[] = {runner->runtime->process_id, claim_ms, limit,
                           runner->claims_lost ? text_chars(&ids) : NULL};
    const char *alone[] = {runner->runtime->process_id, claim_ms, ownership_ms};
    struct pg_pipeline *pipeline = errand_pipeline();
    if (pipeline)
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_JOB_CLAIM, 4, fresh);
    text_done(&ids);
    if (pipeline && runner->n_alone == 0 && overseer_may_judge(runner->runtime->overseer))
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_JOB_CLAIM_ALONE, 3, alone);
    if (!errand_start(runner->runtime, PG_POOL_ORDINARY, pipeline,
                      overseer_judgement_us(runner->runtime->overseer), ANSWER_US, on_claimed,
                      runner, &runner->claim, &fault))
        warn(runner, "jobs were not fetched", &fault);
}

/* ---- ends ---- */

static const char *fate_name(enum job_fate fate)
{
    switch (fate) {
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
        free_job(job);
    }
}

static void write_ends(struct job_runner *runner)
{
    struct text columns[END_COLUMNS];
    const char *params[END_COLUMNS + 1] = {runner->runtime->process_id};
    struct fault fault;
    struct job *job;
    bool ok = true;
    if (runner->end || TAILQ_EMPTY(&runner->ended))
        return;
    for (int i = 0; i < END_COLUMNS; i++) {
        text_init(&columns[i], IDS_BYTES_MAX);
        pg_array_begin(&columns[i]);
    }
    TAILQ_FOREACH(job, &runner->ended, link)
    {
        pg_array_add(&columns[0], job->id);
        pg_array_add(&columns[1], fate_name(job->fate));
        pg_array_add(&columns[2], execution_status_row(job->status)->name);
        pg_array_add(&columns[3], job->error);
    }
    for (int i = 0; i < END_COLUMNS; i++) {
        pg_array_end(&columns[i]);
        params[i + 1] = text_chars(&columns[i]);
        ok = ok && text_ok(&columns[i], &fault);
    }
    struct pg_pipeline *pipeline = ok ? errand_pipeline() : NULL;
    if (pipeline)
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_JOB_END, END_COLUMNS + 1, params);
    if (errand_start(runner->runtime, PG_POOL_ORDINARY, pipeline, CONNECTION_WAIT_US, ANSWER_US,
                     on_ended, runner, &runner->end, &fault))
        TAILQ_CONCAT(&runner->writing, &runner->ended, link);
    for (int i = 0; i < END_COLUMNS; i++)
        text_done(&columns[i]);
}

/* ---- timers, take-over, claims of long work ---- */

static void on_cared(struct pg_answer *answer, void *arg)
{
    struct job_runner *runner = arg;
    runner->care = NULL;
    if (answer->fault.kind && !answer->nothing_sent)
        warn(runner, "timers and take-over", &answer->fault);
}

static void add_extension(struct job_runner *runner, struct pg_pipeline *pipeline)
{
    struct text ids;
    char claim_ms[24];
    struct fault fault;
    snprintf(claim_ms, sizeof claim_ms, "%d", CLAIM_MS);
    add_ids(runner, &ids);
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
    if (pipeline && now_us - runner->extend_us > EXTEND_EVERY_US && runner->n_running > 0) {
        runner->extend_us = now_us;
        add_extension(runner, pipeline);
    }
    if (pipeline && pg_pipeline_length(pipeline) == 1) /* BEGIN alone */
        pg_pipeline_free(pipeline);
    else if (!errand_start(runner->runtime, PG_POOL_ORDINARY, pipeline,
                           overseer_judgement_us(runner->runtime->overseer), ANSWER_US, on_cared,
                           runner, &runner->care, &fault))
        warn(runner, "timers and take-over", &fault);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct job_runner *runner = arg;
    (void)fd;
    (void)what;
    write_ends(runner);
    claim(runner);
    care(runner, clock_monotonic_us());
    arm(runner, TICK_US);
}

/* ---- life ---- */

struct background_options runtime_default_background(void)
{
    return (struct background_options){.jobs_max = 64,
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
    TAILQ_INIT(&runner->running);
    TAILQ_INIT(&runner->ended);
    TAILQ_INIT(&runner->writing);
    runner->timer = event_new(runtime->base, -1, 0, on_tick, runner);
    if (!runner->timer) {
        job_runner_free(runner);
        return fault_no_memory(fault);
    }
    arm(runner, SOON_US);
    *out = runner;
    return true;
}

void job_runner_drain(struct job_runner *runner)
{
    runner->draining = true;
}

static void free_line(struct job_line *line)
{
    struct job *job;
    while ((job = TAILQ_FIRST(line))) {
        TAILQ_REMOVE(line, job, link);
        free_job(job);
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
    for (; job; job = next) {
        next = TAILQ_NEXT(job, link);
        if (job->runs)
            continue; /* its done comes */
        workflow_loader_cancel(job->load);
        end_job(job, JOB_GONE, STATUS_FAILED, NULL);
    }
}

void job_runner_free(struct job_runner *runner)
{
    if (!runner)
        return;
    free_line(&runner->running);
    free_line(&runner->ended);
    free_line(&runner->writing);
    if (runner->timer)
        event_free(runner->timer);
    free(runner);
}
