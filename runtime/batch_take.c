/*
 * The first pipeline of a batch: begin, limits, the locks of its members, the loads of their rows.
 * The statement that takes a lock reads no data, and each load is a later statement: its snapshot
 * is newer than the grant. Locks are tried; only a BATCH_WAIT waits, and in a second
 * pipeline tries those of who joins it, and loads.
 */
#include "batch_early.h"
#include "batch_instances.h"
#include "batch_jobs.h"
#include "batch_keys.h"
#include "batch_lease.h"
#include "batch_state.h"
#include "batch_tries.h"
#include "clock.h"
#include "declared_data.h"
#include "lock_tries.h"
#include "number_text.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TABLES_PAUSE_US = 2 * 1000,
    TRANSACTION_TIMEOUT_FROM = 170000, /* the server that has it */
};

static const char BEGIN_TEXT[] = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

static const char *number(char buffer[24], int64_t value)
{
    *number_text_int(buffer, value) = '\0';
    return buffer;
}

void batch_add_begin(struct batch *batch, const char *begin, int64_t publish_us)
{
    char idle[24], publish[24];
    const char *params[] = {batch->runtime->tag, number(idle, batch_whole_ms(batch->waiting_us)),
                            number(publish, batch_whole_ms(publish_us))};
    batch_add_plain(batch, begin);
    batch->at_begin = pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_BATCH_BEGIN, 3, params);
}

static void add_granted(struct batch *batch)
{
    char waiting[24];
    const char *params[] = {number(waiting, batch_whole_ms(batch->waiting_us)),
                            batch->runtime->tag};
    batch->at_granted = pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_BATCH_GRANTED, 2, params);
}

/* The wait of the one that waits in PostgreSQL's queue. */
static bool add_wait(struct batch *batch, int64_t budget_us, struct fault *fault)
{
    struct lock_tries tries;
    batch_add_begin(batch, BEGIN_TEXT, budget_us + batch->waiting_us);
    lock_tries_init(&tries);
    lock_tries_add(&tries, batch->members->execution->locks);
    bool ok = lock_tries_add_wait(&tries, batch->pipeline, batch_whole_ms(budget_us),
                                  &batch->at_try, &batch->at_look, fault);
    lock_tries_done(&tries);
    add_granted(batch); /* also here: who learns late of its grant has no more time for it */
    return ok;
}

static struct transaction_limits tell_limits(const struct batch *batch, char waiting[24],
                                             char row_wait[24])
{
    int64_t row_wait_us = batch_row_wait_us(batch, batch->waiting_us);
    return (struct transaction_limits){.waiting_ms =
                                           number(waiting, batch_whole_ms(batch->waiting_us)),
                                       .row_wait_ms = number(row_wait, batch_whole_ms(row_wait_us)),
                                       .tag = batch->runtime->tag};
}

/* BEGIN, and what follows it. */
static bool add_open(struct batch *batch, struct fault *fault)
{
    char waiting[24], row_wait[24];
    const struct transaction_limits limits = tell_limits(batch, waiting, row_wait);
    batch_add_plain(batch, BEGIN_TEXT);
    bool ok = batch_add_tries(batch, &limits, fault);
    batch->at_granted = batch->at_begin;
    batch->limits_stand = true;
    return ok;
}

bool batch_add_early_open(struct batch *batch, bool text_varies)
{
    char waiting[24], row_wait[24];
    const struct transaction_limits limits = tell_limits(batch, waiting, row_wait);
    batch_add_plain(batch, BEGIN_TEXT);
    bool lean = pg_conn_server_version(batch->conn) < TRANSACTION_TIMEOUT_FROM;
    return key_tries_add_early(batch->members->execution->locks, &limits, text_varies, lean,
                               batch->pipeline);
}

static bool want_rows(struct batch *batch, struct member *member, struct fault *fault)
{
    return member->execution->parks || declared_data_want(member->execution, &batch->region,
                                                          batch->rows, &member->slots, fault);
}

/* Members whose keys cannot be evaluated end here, before anything is sent; those whose tables have
 * changed run once these are looked up. */
static void want_all_rows(struct batch *batch)
{
    struct fault fault;
    for (struct member *member = batch->members; member; member = member->next) {
        if (member->fate != FATE_OPEN)
            continue;
        if (!runtime_has_tables(member->execution->workflow, &fault) && !fault.kind)
            member_again(member, /* alone= */ false, TABLES_PAUSE_US);
        else if (fault.kind || !want_rows(batch, member, &fault))
            member_drop(member, fault.kind == FAULT_INVALID ? STATUS_INVALID : STATUS_FAILED,
                        fault.text);
    }
    batch_hold_back(batch);
}

/* A transaction that is not READ COMMITTED would read data older than its lock. */
static bool isolation_is_right(const struct batch *batch, const struct pg_answer *answer)
{
    const PGresult *begun = answer->results[batch->at_begin];
    return strcmp(PQgetvalue(begun, 0, PQnfields(begun) - 1), "read committed") == 0;
}

/* The locks are held, and their time runs by the server's clock since add_granted's statement. */
static void note_grant(struct batch *batch, const struct pg_answer *answer)
{
    batch->granted_us = clock_monotonic_us();
    batch->deadline_us = batch->granted_us + batch->waiting_us;
    snprintf(batch->deadline, sizeof batch->deadline, "%s",
             PQgetvalue(answer->results[batch->at_granted], 0, 0));
}

/* What is looked at under the locks beside the application's rows. */
static void add_reads(struct batch *batch)
{
    batch->at_jobs = batch_jobs_add_lock(batch);
    batch->at_instances = batch_instances_add_read(batch);
    batch->at_keys = batch_keys_add_read(batch);
}

static void read_reads(struct batch *batch, const struct pg_answer *answer)
{
    if (batch->at_jobs != NO_STATEMENT)
        batch_jobs_read(batch, answer->results[batch->at_jobs]);
    if (batch->at_instances != NO_STATEMENT)
        batch_instances_read(batch, answer->results[batch->at_instances]);
    if (batch->at_keys != NO_STATEMENT)
        batch_keys_read(batch, answer->results[batch->at_keys]);
}

/* The rows are in: the scripts may run. */
static void start_running(struct batch *batch, const struct pg_answer *answer)
{
    struct fault fault;
    read_reads(batch, answer);
    if (batch_rows_read_loads(batch->rows, answer->results, &fault)) {
        if (batch_lease_wanted(batch))
            batch_lease_take(batch);
        else
            batch_run(batch);
        return;
    }
    if (batch_is_alone(batch))
        batch_drop_all(batch, STATUS_FAILED, fault.text);
    else
        batch_again_one_by_one(batch, 0);
    batch_leave(batch);
}

static void refuse_isolation(struct batch *batch)
{
    batch_drop_all(batch, STATUS_FAILED,
                   "the server does not give READ COMMITTED to a transaction that asks for it");
    batch_leave(batch);
}

static bool anyone_open(const struct batch *batch)
{
    for (const struct member *member = batch->members; member; member = member->next)
        if (member->fate == FATE_OPEN)
            return true;
    return false;
}

static void on_taken(struct pg_answer *answer, void *arg)
{
    struct batch *batch = arg;
    struct fault fault;
    if (answer->fault.kind || answer->connection_lost) {
        batch_failed(batch, answer);
        return;
    }
    if (!isolation_is_right(batch, answer)) {
        refuse_isolation(batch);
        return;
    }
    note_grant(batch, answer);
    batch->slack_us = batch->granted_us - batch->sent_us;
    if (!batch_read_tries(batch, answer, &fault))
        batch_drop_all(batch, STATUS_FAILED, fault.text);
    if (anyone_open(batch))
        start_running(batch, answer);
    else
        batch_leave(batch);
}

/* How long ago the grant was is known only now: the limits tell what is left. */
static void correct_deadline(struct batch *batch, const struct pg_answer *answer)
{
    int64_t now_us = clock_monotonic_us();
    int64_t left_us = strtoll(PQgetvalue(answer->results[0], 0, 0), NULL, 10) * 1000;
    batch->slack_us = now_us - batch->sent_us;
    if (now_us + left_us < batch->deadline_us)
        batch->deadline_us = now_us + left_us;
}

static void on_loaded(struct pg_answer *answer, void *arg)
{
    struct batch *batch = arg;
    struct fault fault;
    if (answer->fault.kind || answer->connection_lost) {
        batch_failed(batch, answer);
        return;
    }
    correct_deadline(batch, answer);
    if (!batch_read_join(batch, answer, &fault))
        batch_drop_all(batch, STATUS_FAILED, fault.text);
    if (batch->joined) /* a head of the SLOT line may not lose its turn to wait */
        batch_give_back_refused(batch);
    if (anyone_open(batch))
        start_running(batch, answer);
    else
        batch_leave(batch);
}

/* The one that waited in PostgreSQL has its locks. If it may not stay long beside others and is
 * known to, it goes on by itself, or it would have waited in vain. Otherwise those behind it on its
 * path come along, and then whoever is ready, if a try gets its locks: on paths that several hosts
 * want, each of which waits somewhere, transactions would be small, and what the last holder let go
 * together would be taken one by one. */
static void fill_after_wait(struct batch *batch)
{
    struct scheduler *scheduler = batch->runtime->scheduler;
    struct member *head = batch->members;
    batch->kind = scheduler_becomes(scheduler, batch->kind, head->execution);
    if (!head->execution->plan->runs_long)
        scheduler_fill_covered(scheduler, batch, head->execution);
    for (struct member *member = head; member; member = member->next)
        member->granted = true;
    batch->joined = batch->kind == BATCH_PLAIN && !head->execution->plan->runs_long;
    if (batch->joined)
        scheduler_fill_joining(scheduler, batch);
}

static void load_after_wait(struct batch *batch)
{
    struct fault fault;
    fill_after_wait(batch);
    want_all_rows(batch);
    if (!anyone_open(batch)) {
        batch_leave(batch);
        return;
    }
    pg_pipeline_clear(batch->pipeline);
    batch_add_limits(batch);
    bool ok = batch_add_join(batch, &fault);
    add_reads(batch);
    batch_rows_add_loads(batch->rows, batch->pipeline);
    if (!ok || !batch_rows_ok(batch->rows, &fault)) {
        batch_drop_all(batch, STATUS_FAILED, fault.text);
        batch_leave(batch);
        return;
    }
    batch->sent_us = clock_monotonic_us();
    batch_enter(batch, BATCH_LOADING);
    batch_send(batch, batch->waiting_us + BATCH_GRACE_US, on_loaded);
}

static void on_waited(struct pg_answer *answer, void *arg)
{
    struct batch *batch = arg;
    if (answer->fault.kind || answer->connection_lost) {
        batch_failed(batch, answer);
        return;
    }
    if (!isolation_is_right(batch, answer)) {
        refuse_isolation(batch);
        return;
    }
    note_grant(batch, answer);
    if (strcmp(PQgetvalue(answer->results[batch->at_try], 0, 0), "t") != 0) {
        batch->members->fate = FATE_REFUSED;
        batch_leave(batch);
        return;
    }
    batch_read_look(batch, answer->results[batch->at_look]);
    if (!anyone_open(batch)) {
        batch_leave(batch); /* its advisory locks go with the transaction */
        return;
    }
    load_after_wait(batch);
}

static void give_up(struct batch *batch, const struct fault *fault)
{
    batch_drop_all(batch, STATUS_FAILED, fault->text);
    if (batch->state == BATCH_CONNECTING)
        batch_end(batch);
    else
        batch_leave(batch);
}

void batch_take(struct batch *batch)
{
    struct fault fault;
    bool waits = batch->kind == BATCH_WAIT;
    int64_t budget_us =
        waits ? scheduler_wait_budget_us(batch->runtime->scheduler, batch->members->execution) : 0;
    int64_t limit_us = budget_us + batch->waiting_us;
    if (!waits && batch_early_takes(batch))
        return;
    pg_pipeline_clear(batch->pipeline);
    if (waits ? !add_wait(batch, budget_us, &fault) : !add_open(batch, &fault)) {
        give_up(batch, &fault);
        return;
    }
    if (!waits) {
        want_all_rows(batch);
        if (!anyone_open(batch)) {
            batch_end(batch); /* nothing was sent yet */
            return;
        }
        add_reads(batch);
        batch_rows_add_loads(batch->rows, batch->pipeline);
        if (!batch_rows_ok(batch->rows, &fault)) {
            give_up(batch, &fault);
            return;
        }
    }
    batch->sent_us = clock_monotonic_us();
    batch_enter(batch, BATCH_TAKING);
    batch_send(batch, limit_us + BATCH_GRACE_US, waits ? on_waited : on_taken);
}
