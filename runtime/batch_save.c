/*
 * The second pipeline of a batch: saves, history, the mark, commit; and the end without it. Success
 * is the command tag COMMIT and nothing else: the commit of a failed transaction is answered by
 * ROLLBACK without an error.
 */
#include "batch_early.h"
#include "batch_events.h"
#include "batch_instances.h"
#include "batch_jobs.h"
#include "batch_keys.h"
#include "batch_lease.h"
#include "batch_lone.h"
#include "batch_state.h"
#include "clock.h"
#include "history.h"
#include "runtime_sql.h"
#include "runtime_state.h"
#include "session_reset.h"

#include <stdio.h>
#include <string.h>

enum {
    LIMITS_FIT = 100,
};

static const char COMMIT_TEXT[] = "COMMIT";
static const char ROLLBACK_TEXT[] = "ROLLBACK";
/* Deferred constraints and triggers would run inside COMMIT, where statement_timeout does not
 * count. */
static const char CONSTRAINTS_TEXT[] = "SET CONSTRAINTS ALL IMMEDIATE";

/* ---- parts of pipelines ---- */

void batch_add_plain(struct batch *batch, const char *text)
{
    pg_pipeline_add(batch->pipeline, PG_PREPARED, text, 0, NULL);
}

void batch_add_end(struct batch *batch, const char *text)
{
    batch_add_plain(batch, text);
    if (batch->ran_sql && pg_conn_is_pooled(batch->conn))
        session_reset_add(batch->runtime, batch->pipeline);
}

int64_t batch_whole_ms(int64_t us)
{
    return us <= 1000 ? 1 : (us + 999) / 1000;
}

/* Of plain batches there are few: one that stood there until a stranger lets go of its row would
 * keep all others of the host from theirs, and somebody by chance alone in it waits by itself. */
int64_t batch_row_wait_us(const struct batch *batch, int64_t left_us)
{
    return batch->kind == BATCH_PLAIN ? BATCH_ROW_WAIT_US : left_us;
}

void batch_add_limits(struct batch *batch)
{
    char wait[24];
    int64_t left_us = batch->deadline_us - clock_monotonic_us();
    snprintf(wait, sizeof wait, "%lld",
             (long long)batch_whole_ms(batch_row_wait_us(batch, left_us)));
    const char *params[] = {batch->deadline, wait};
    pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_BATCH_LIMITS, 2, params);
    batch->limits_stand = false;
}

/* So soon after the grant that the limits which were set with it are what is left, but for a
 * hundredth. Whoever commits is measured by the deadline itself. */
static bool limits_fit(const struct batch *batch)
{
    return batch->limits_stand &&
           clock_monotonic_us() - batch->sent_us <= batch->waiting_us / LIMITS_FIT;
}

/* ---- leaving ---- */

static void on_left(struct pg_answer *answer, void *arg)
{
    (void)answer; /* a connection that did not answer is not given back to anybody */
    batch_end(arg);
}

void batch_leave(struct batch *batch)
{
    if (!batch->conn) { /* a lease is held, and no transaction */
        batch_end(batch);
        return;
    }
    pg_pipeline_clear(batch->pipeline);
    batch_add_end(batch, ROLLBACK_TEXT);
    batch_enter(batch, BATCH_LEAVING);
    batch_send(batch, BATCH_GRACE_US, on_left);
}

/* ---- saving ---- */

static void conclude_committed(struct batch *batch)
{
    int n_members = 0;
    batch->committed = true;
    for (struct member *member = batch->members; member; member = member->next) {
        if (member->fate != FATE_KEPT)
            continue;
        n_members++;
        bool idles = member->execution->instance.next.step == STEP_IDLES;
        execution_set_outcome(member->execution, idles ? STATUS_IDLE : STATUS_COMPLETED, NULL);
    }
    runtime_count_batch(batch->runtime, n_members);
}

/* It has committed: the lease is taken, or all is done. */
static void go_on_committed(struct batch *batch)
{
    if (batch_lease_is_being_taken(batch)) {
        batch_lease_taken(batch);
        return;
    }
    conclude_committed(batch);
    batch_lease_ended(batch);
    batch_end(batch);
}

static void conclude_kept(struct batch *batch, enum execution_status status, const char *reason)
{
    for (struct member *member = batch->members; member; member = member->next)
        if (member->fate == FATE_KEPT)
            execution_set_outcome(member->execution, status, reason);
}

static void on_looked_up(enum commit_fact fact, void *arg)
{
    struct batch *batch = arg;
    struct pg_answer lost = {.connection_lost = true, .failed = -1, .warned = -1};
    batch->lookup = NULL;
    switch (fact) {
    case COMMIT_HAPPENED: go_on_committed(batch); return;
    case COMMIT_NEVER:
        fault_set(&lost.fault, FAULT_DATABASE, "the connection was lost before the commit");
        batch_failed(batch, &lost);
        return;
    case COMMIT_UNKNOWN:
        conclude_kept(
            batch, STATUS_UNKNOWN,
            "the answer to the commit was lost and the database did not come back in time");
        batch_lease_ended(batch); /* if it still stands, it expires */
        batch_end(batch);
        return;
    }
}

static void look_up(struct batch *batch)
{
    struct fault fault;
    batch->lost_us = clock_monotonic_us();
    int64_t until_us = batch->lost_us + batch->runtime->options.look_up_us;
    for (struct member *member = batch->members; member; member = member->next)
        if (member->fate == FATE_KEPT && member->execution->run_until_us > until_us)
            until_us = member->execution->run_until_us;
    batch_enter(batch, BATCH_LOOKING_UP);
    pg_pool_give(batch->runtime->pool, batch->conn);
    batch->conn = NULL;
    if (!commit_lookup_start(batch->runtime, batch->attempt, until_us, on_looked_up, batch,
                             &batch->lookup, &fault))
        on_looked_up(COMMIT_UNKNOWN, batch);
}

static bool committed(const struct batch *batch, const struct pg_answer *answer)
{
    const PGresult *commit = answer->results ? answer->results[batch->at_commit] : NULL;
    return commit && strcmp(PQcmdStatus((PGresult *)commit), "COMMIT") == 0;
}

static void on_saved(struct pg_answer *answer, void *arg)
{
    struct batch *batch = arg;
    if (answer->connection_lost && batch->early)
        batch_early_lost(batch, answer);
    if (answer->failed > batch->at_commit && committed(batch, answer))
        answer->fault = (struct fault){0}; /* of what comes after it: batch_add_end */
    if (!answer->connection_lost && answer->fault.kind && batch->early) {
        batch_early_failed(batch, answer);
    } else if (!answer->connection_lost && answer->fault.kind) {
        batch_failed(batch, answer);
    } else if (answer->connection_lost && answer->nothing_sent) {
        batch_failed(batch, answer);
    } else if (answer->connection_lost) {
        if (committed(batch, answer) && answer->warned != batch->at_commit)
            on_looked_up(COMMIT_HAPPENED, batch); /* its answer came before the end */
        else
            look_up(batch);
    } else if (!committed(batch, answer)) {
        struct pg_answer rolled_back = {.failed = -1, .warned = -1, .connection_lost = true};
        fault_set(&rolled_back.fault, FAULT_DATABASE, "the commit was answered by a rollback");
        batch_failed(batch, &rolled_back);
    } else if (answer->warned == batch->at_commit) {
        look_up(batch); /* a standby that did not confirm, a server in trouble: is it durable? */
    } else {
        batch_early_committed(batch, answer);
        go_on_committed(batch);
    }
}

static bool add_history(struct batch *batch, struct fault *fault)
{
    struct history history;
    int64_t now_us = clock_monotonic_us();
    history_init(&history);
    for (struct member *member = batch->members; member; member = member->next)
        if (member->fate == FATE_KEPT)
            history_add_kept(&history, member->execution, now_us);
    bool ok = history_add_statements(&history, batch->runtime->process_id, batch->pipeline, fault);
    history_done(&history);
    return ok;
}

/* The instances, their history and the mark of the commit. */
static bool add_kept(struct batch *batch, struct fault *fault)
{
    if (batch_lone_ends(batch))
        return batch_lone_add_kept(batch, fault);
    batch_add_mark(batch);
    return batch_instances_add_saves(batch, fault) && add_history(batch, fault);
}

void batch_add_mark(struct batch *batch)
{
    const char *mark[] = {batch->attempt};
    pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_MARK_INSERT, 1, mark);
}

void batch_add_commit_checks(struct batch *batch)
{
    char waiting[24];
    const char *deadline[] = {batch->deadline};
    batch_add_plain(batch, CONSTRAINTS_TEXT);
    if (batch->early) {
        snprintf(waiting, sizeof waiting, "%lld ms", (long long)batch_whole_ms(batch->waiting_us));
        deadline[0] = waiting;
    }
    pg_pipeline_add(batch->pipeline, PG_PREPARED,
                    batch->early ? SQL_BATCH_IN_TIME_EARLY : SQL_BATCH_IN_TIME, 1, deadline);
}

/* Sends what the pipeline holds, and COMMIT. */
void batch_commit(struct batch *batch)
{
    batch->at_commit = pg_pipeline_length(batch->pipeline);
    batch_add_end(batch, COMMIT_TEXT);
    batch_enter(batch, BATCH_SAVING);
    int64_t left_us = batch->deadline_us - clock_monotonic_us();
    batch_send(batch, (left_us > 0 ? left_us : 0) + BATCH_GRACE_US, on_saved);
}

void batch_save(struct batch *batch)
{
    struct fault fault;
    if (!batch->conn) { /* a lease is held, and no transaction: there is one now */
        batch_lease_fetch(batch, batch_save);
        return;
    }
    uuid_draw(&batch->runtime->uuids, batch->attempt);
    pg_pipeline_clear(batch->pipeline);
    bool ok = !batch->lease || batch_lease_add_end(batch, &fault);
    if (!batch->lease && !limits_fit(batch))
        batch_add_limits(batch);
    if (!batch_lone_saves(batch))
        batch_rows_add_saves(batch->rows, batch->pipeline, /* last= */ !batch->ran_sql);
    ok = ok && batch_rows_ok(batch->rows, &fault) && batch_jobs_add_saves(batch, &fault) &&
         batch_keys_add_saves(batch, &fault) && batch_events_add_saves(batch, &fault) &&
         add_kept(batch, &fault);
    if (!ok) {
        if (batch_is_alone(batch))
            batch_drop_all(batch, STATUS_FAILED, fault.text);
        else
            batch_again_one_by_one(batch, 0);
        batch_leave(batch);
        return;
    }
    batch_add_commit_checks(batch);
    batch_commit(batch);
}
