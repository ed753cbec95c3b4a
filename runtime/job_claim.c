/*
 * Claims: as many jobs as may run, and, while they go fast, as many more as will have their turn
 * within a moment, so that the next ones are at hand when a batch ends. Those wait here, and are
 * given back when the moment has become long.
 */
#include "clock.h"
#include "job_runner_private.h"
#include "overseer.h"
#include "runtime_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PACE_US = 50 * 1000,    /* claimed ahead is what is done within so long */
    AHEAD_MAX = 256,        /* at most: others are for other hosts */
    AHEAD_US = 1000 * 1000, /* so long they wait */
    GATHER_US = 5 * 1000,   /* while some wait, so long it is saved up for a larger claim */
    NO_STATEMENT = -1,
    SMALL_PART = 4,  /* smaller is less than a quarter of those that may run */
    REST_TIMES = 20, /* looking through the queue takes a twentieth of the time */
    REST_MAX_US = 10 * 1000 * 1000,
};

/* of job_claim.sql, job_claim_left.sql and job_claim_alone.sql */
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

/* ---- the pace ---- */

static void turn_pace(struct job_runner *runner, int64_t now_us)
{
    int64_t passed_us = now_us - runner->pace_us;
    if (passed_us < PACE_US)
        return;
    runner->n_done_before = passed_us < 2 * PACE_US ? runner->n_done : 0;
    runner->n_done = 0;
    runner->pace_us = now_us;
}

void job_claim_note_done(struct job_runner *runner)
{
    turn_pace(runner, clock_monotonic_us());
    runner->n_done++;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* How many are done within PACE_US. */
static int pace(struct job_runner *runner)
{
    turn_pace(runner, clock_monotonic_us());
    return runner->n_done > runner->n_done_before ? runner->n_done : runner->n_done_before;
}

int job_claim_running_max(struct job_runner *runner)
{
    int n_fast = least(pace(runner), runner->options.jobs_fast_max);
    return n_fast > runner->options.jobs_max ? n_fast : runner->options.jobs_max;
}

/* How many may wait. */
static int n_ahead(struct job_runner *runner)
{
    return least(least(pace(runner), runner->options.jobs_max), AHEAD_MAX);
}

/* ---- what was claimed ---- */

static const char *cell(const PGresult *rows, int row, enum claimed_column column)
{
    return PQgetisnull(rows, row, (int)column) ? NULL : PQgetvalue(rows, row, (int)column);
}

static bool copy(char **out, const char *text, struct fault *fault)
{
    *out = text ? strdup(text) : NULL;
    return *out || !text || fault_no_memory(fault);
}

static bool read_row(struct job *job, const PGresult *rows, int row, struct fault *fault)
{
    const char *version = cell(rows, row, CLAIMED_VERSION);
    job->starts = strcmp(cell(rows, row, CLAIMED_KIND), "start") == 0;
    job->version = version ? atoi(version) : 0;
    const char *json = cell(rows, row, job->starts ? CLAIMED_INPUT : CLAIMED_PAYLOAD);
    return copy(&job->workflow, cell(rows, row, CLAIMED_WORKFLOW), fault) &&
           copy(&job->event, cell(rows, row, CLAIMED_EVENT), fault) &&
           copy(&job->key, cell(rows, row, CLAIMED_KEY), fault) &&
           (!json || json_read("the job's row", json, strlen(json), &job->input, fault));
}

static void give_back(struct job *job)
{
    struct job_runner *runner = job->runner;
    TAILQ_REMOVE(&runner->waiting, job, link);
    runner->n_waiting--;
    job_end(job, JOB_BACK, STATUS_QUEUED, NULL);
}

void job_claim_give_back(struct job_runner *runner, bool all)
{
    struct job *job;
    int64_t now_us = clock_monotonic_us();
    while ((job = TAILQ_FIRST(&runner->waiting)) && (all || now_us - job->claimed_us > AHEAD_US))
        give_back(job);
}

static void take_up(struct job_runner *runner, const PGresult *rows, int row)
{
    struct fault fault;
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return; /* its claim runs out */
    job->runner = runner;
    job->claimed_us = clock_monotonic_us();
    job->alone = *cell(rows, row, CLAIMED_ALONE) == 't';
    job->worn_out =
        atoi(cell(rows, row, CLAIMED_ATTEMPTS)) >= atoi(cell(rows, row, CLAIMED_ATTEMPTS_MAX));
    snprintf(job->id, sizeof job->id, "%s", cell(rows, row, CLAIMED_ID));
    snprintf(job->instance, sizeof job->instance, "%s", cell(rows, row, CLAIMED_INSTANCE));
    if (!read_row(job, rows, row, &fault)) {
        job_end(job, fault.kind == FAULT_INVALID ? JOB_FAILED : JOB_AGAIN, STATUS_FAILED,
                fault.text);
    } else if (job->alone) { /* a death while it waits would count as one alone */
        job_work_start(job);
    } else {
        job->counts = true;
        runner->runtime->n_running++;
        TAILQ_INSERT_TAIL(&runner->waiting, job, link);
        runner->n_waiting++;
    }
}

static int take_up_all(struct job_runner *runner, const struct pg_answer *answer, int at)
{
    const PGresult *rows = at == NO_STATEMENT ? NULL : answer->results[at];
    int n = rows ? PQntuples(rows) : 0;
    for (int row = 0; row < n; row++)
        take_up(runner, rows, row);
    return n;
}

/* What a dead process left is looked for at once again when there was something, else with the next
 * tick; what no index has, so seldom that it costs little. */
static void plan_looks(struct job_runner *runner, int n_left, int n_alone)
{
    int64_t now_us = clock_monotonic_us(), rest_us = (now_us - runner->asked_us) * REST_TIMES;
    if (runner->at_left != NO_STATEMENT)
        runner->left_us = n_left > 0 ? now_us : now_us + JOB_TICK_US / 2;
    if (runner->at_alone != NO_STATEMENT)
        runner->alone_us =
            n_alone > 0 ? now_us : now_us + (rest_us < REST_MAX_US ? rest_us : REST_MAX_US);
}

static void on_claimed(struct pg_answer *answer, void *arg)
{
    struct job_runner *runner = arg;
    runner->claim = NULL;
    runner->runtime->n_running -= runner->claim_counts;
    runner->claim_counts = false;
    if (answer->fault.kind) {
        runner->hungry = false;
        runner->claim_lost = runner->claim_lost || !answer->nothing_sent;
        if (!answer->nothing_sent)
            job_runner_warn(runner, "jobs were not fetched", &answer->fault);
        return;
    }
    int n = take_up_all(runner, answer, runner->at_fresh);
    int n_left = take_up_all(runner, answer, runner->at_left);
    int n_alone = take_up_all(runner, answer, runner->at_alone);
    plan_looks(runner, n_left, n_alone);
    runner->hungry = n > 0 && n >= runner->n_asked;
    runner->claim_lost = runner->claim_lost && !runner->claims_lost;
    runner->claims_lost = false;
    if (runner->draining)
        job_claim_give_back(runner, /* all= */ true);
    job_work_start_waiting(runner);
    if (runner->hungry || !TAILQ_EMPTY(&runner->ended))
        job_runner_arm(runner, JOB_SOON_US);
}

/* ---- claiming ---- */

/* A job that ended unknown needs no look-up: the transaction that may have committed deletes its
 * row, and has it locked until it is over. So a row that is there and not locked is work that was
 * not done and will not be. Its claim is this process's, and after it has run out anybody asks the
 * same. */
static bool is_in_doubt(const struct job_runner *runner, int64_t now_us)
{
    return now_us < runner->doubts_until_us;
}

static void add_fresh(struct job_runner *runner, struct pg_pipeline *pipeline)
{
    char claim_ms[24], limit[24];
    struct text ids;
    snprintf(claim_ms, sizeof claim_ms, "%d", JOB_CLAIM_MS);
    snprintf(limit, sizeof limit, "%d", runner->n_asked);
    job_runner_add_ids(runner, &ids);
    runner->claims_lost =
        (runner->claim_lost || is_in_doubt(runner, runner->asked_us)) && !ids.failed;
    const char *params[] = {runner->runtime->process_id, claim_ms, limit,
                            runner->claims_lost ? text_chars(&ids) : NULL};
    runner->at_fresh = pg_pipeline_add(pipeline, PG_PREPARED, SQL_JOB_CLAIM, 4, params);
    text_done(&ids);
}

/* One at a time; what the two looks find is asked for in turn. */
static void add_alone(struct job_runner *runner, struct pg_pipeline *pipeline)
{
    char claim_ms[24], ownership_ms[24];
    bool left_was_last = runner->at_left != NO_STATEMENT;
    bool left_is_due = runner->asked_us >= runner->left_us;
    bool alone_is_due = runner->asked_us >= runner->alone_us;
    if (runner->n_alone > 0 || !overseer_may_judge(runner->runtime->overseer))
        left_is_due = alone_is_due = false;
    snprintf(claim_ms, sizeof claim_ms, "%d", JOB_CLAIM_MS);
    snprintf(ownership_ms, sizeof ownership_ms, "%lld",
             (long long)(runner->runtime->options.ownership_us / 1000));
    const char *params[] = {runner->runtime->process_id, claim_ms, ownership_ms};
    runner->at_left = runner->at_alone = NO_STATEMENT;
    if (alone_is_due && (left_was_last || !left_is_due))
        runner->at_alone = pg_pipeline_add(pipeline, PG_PREPARED, SQL_JOB_CLAIM_ALONE, 2, params);
    else if (left_is_due)
        runner->at_left = pg_pipeline_add(pipeline, PG_PREPARED, SQL_JOB_CLAIM_LEFT, 3, params);
}

/* A few are not worth a transaction while others wait for their turn. */
static bool is_worth_it(const struct job_runner *runner, int n, int n_max, int64_t now_us)
{
    return n > 0 && (runner->n_waiting == 0 || n * SMALL_PART >= n_max ||
                     now_us - runner->asked_us >= GATHER_US);
}

void job_claim_send(struct job_runner *runner)
{
    struct fault fault;
    int64_t now_us = clock_monotonic_us();
    int n_max = job_claim_running_max(runner);
    int n = n_max - runner->n_running + n_ahead(runner) - runner->n_waiting;
    if (runner->claim || runner->draining || !is_worth_it(runner, n, n_max, now_us))
        return;
    runner->n_asked = n;
    runner->asked_us = now_us;
    struct pg_pipeline *pipeline = errand_pipeline();
    if (pipeline) {
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_JOB_PLAN, 0, NULL);
        add_fresh(runner, pipeline);
        add_alone(runner, pipeline);
    }
    if (!errand_start(runner->runtime, PG_POOL_ORDINARY, pipeline,
                      overseer_judgement_us(runner->runtime->overseer), JOB_ANSWER_US, on_claimed,
                      runner, &runner->claim, &fault))
        job_runner_warn(runner, "jobs were not fetched", &fault);
}
