#include "batch_early.h"

#include "batch_fault.h"
#include "batch_lone.h"
#include "clock.h"
#include "declared_data.h"
#include "execution_lock.h"
#include "key_tries.h"
#include "row_memory.h"
#include "runtime_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KEY_BYTES_MAX = 4 << 10,
    MISSED_US = 1000 * 1000,
    MISSED_SHIFT_MAX = 6,
    AT_OPEN = 1, /* of its pipeline: sql/batch_open_early.sql */
};

/* True if it may run so, as far as is known before its row. */
static bool suits(const struct batch *batch)
{
    const struct execution *execution = batch->members->execution;
    const struct definition *definition = execution->workflow->definition;
    return batch->kind == BATCH_PLAIN && batch_is_alone(batch) && !pg_conn_is_pooled(batch->conn) &&
           batch->runtime->options.row_memory_us > 0 && execution->locks &&
           key_tries_fit_lone(execution->locks) && !execution->parks &&
           !execution->instance.stored && !execution->job[0] && !execution->key &&
           !execution->event && !execution->chain && !execution->next_locks &&
           !execution_takes_lease(execution) && !execution_lock_uses_data(execution) &&
           definition->history == HISTORY_FULL && definition->n_data == 1 &&
           !definition->data[0].list;
}

/* What the row is remembered by; false if that is too long. */
static bool tell_key(const struct batch *batch, struct text *out)
{
    text_init(out, KEY_BYTES_MAX);
    batch_rows_add_question(batch->rows, batch->members->slots[0], out);
    return !out->failed;
}

static int64_t since_us(const struct batch *batch)
{
    return clock_monotonic_us() - batch->runtime->options.row_memory_us;
}

/* ---- taking ---- */

static bool recall(struct batch *batch, struct fault *fault)
{
    struct member *member = batch->members;
    const PGresult *row = NULL;
    struct text key;
    if (!declared_data_want(member->execution, &batch->region, batch->rows, &member->slots, fault))
        return false; /* the ordinary way tells why */
    if (tell_key(batch, &key))
        row = row_memory_find(batch->runtime->row_memory, text_chars(&key), since_us(batch),
                              &batch->read_us);
    text_done(&key);
    /* Loaded before this connection was there: perhaps from a server that is no more. */
    return row && batch->read_us >= pg_conn_up_us(batch->conn) &&
           batch_rows_recall(batch->rows, member->slots[0], row, fault);
}

bool batch_early_takes(struct batch *batch)
{
    struct fault fault;
    const struct execution *execution = batch->members->execution;
    int64_t now_us = clock_monotonic_us();
    if (!suits(batch) || execution->attempts > 0 || execution->plan->needs_alone ||
        now_us < execution->plan->early_from_us ||
        !runtime_has_tables(execution->workflow, &fault) || !recall(batch, &fault))
        return false;
    batch->early = true;
    batch->granted_us = now_us;
    batch->deadline_us = now_us + batch->waiting_us;
    batch_run(batch);
    return true;
}

/* ---- the end of the script ---- */

static void note_miss(struct batch *batch)
{
    struct activity_plan *plan = batch->members->execution->plan;
    int shift = plan->n_early_missed < MISSED_SHIFT_MAX ? plan->n_early_missed++ : MISSED_SHIFT_MAX;
    struct text key;
    batch->runtime->figures.n_early_missed++;
    plan->early_from_us = clock_monotonic_us() + ((int64_t)MISSED_US << shift);
    if (tell_key(batch, &key))
        row_memory_forget(batch->runtime->row_memory, text_chars(&key));
    text_done(&key);
}

/* It runs in the ordinary way, as if it had not run. */
static void run_again(struct batch *batch)
{
    struct member *member = batch->members;
    note_miss(batch);
    member_again(member, /* alone= */ false, /* delay_us= */ 0);
    member->execution->attempts = 0;
}

static bool add_all(struct batch *batch)
{
    struct fault ignored; /* the ordinary way tells it */
    struct member *member = batch->members;
    bool varies = batch_rows_text_varies(batch->rows, member->slots[0]);
    member->execution->granted_us = clock_monotonic_us();
    uuid_draw(&batch->runtime->uuids, batch->attempt);
    pg_pipeline_clear(batch->pipeline);
    return batch_add_early_open(batch, varies) && batch_lone_add_kept(batch, &ignored);
}

void batch_early_end(struct batch *batch)
{
    const struct member *member = batch->members;
    if (member->fate == FATE_KEPT && !script_events(member->script) && batch_lone_saves(batch) &&
        add_all(batch)) {
        batch_add_commit_checks(batch);
        batch_commit(batch);
        return;
    }
    run_again(batch);
    batch_end(batch); /* nothing was sent */
}

void batch_early_failed(struct batch *batch, const struct pg_answer *answer)
{
    if (batch_fault_meaning(&answer->fault) != MEANS_CONFLICT) {
        note_miss(batch);
        batch_failed(batch, answer);
        return;
    }
    run_again(batch);
    batch_leave(batch);
}

/* "latchkey TAG until MILLISECONDS" tells its deadline, by which breaks are found. */
void batch_early_lost(struct batch *batch, const struct pg_answer *answer)
{
    const PGresult *opened =
        answer->results && answer->n_results > AT_OPEN ? answer->results[AT_OPEN] : NULL;
    const char *until = opened && PQntuples(opened) == 1
                            ? strrchr(PQgetvalue(opened, 0, PQnfields(opened) - 1), ' ')
                            : NULL;
    long long ms = until ? strtoll(until, NULL, 10) : 0;
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    char text[DEADLINE_BYTES - 8];
    if (ms > 0 && gmtime_r(&seconds, &utc) &&
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &utc))
        snprintf(batch->deadline, sizeof batch->deadline, "%s.%03d+00", text, (int)(ms % 1000));
}

/* ---- remembering ---- */

enum save_manner batch_early_manner(struct batch *batch)
{
    struct row_memory *memory = batch->runtime->row_memory;
    enum save_manner manner = SAVE_SILENT;
    struct text key;
    if (batch->early)
        return SAVE_RECALLED;
    if (!suits(batch) || batch->ran_sql || script_events(batch->members->script) ||
        !batch_rows_is_all(batch->rows, batch->members->slots[0]))
        return SAVE_SILENT;
    batch->read_us = batch->sent_us;
    bool told = tell_key(batch, &key);
    if (told && row_memory_noted(memory, text_chars(&key), since_us(batch)))
        manner = SAVE_GIVES_BACK;
    else if (told)
        row_memory_note(memory, text_chars(&key), clock_monotonic_us(), /* row= */ NULL, 0);
    text_done(&key);
    return manner;
}

void batch_early_committed(struct batch *batch, struct pg_answer *answer)
{
    struct text key;
    if (batch->at_kept == NO_STATEMENT)
        return;
    if (batch->early) {
        batch->members->execution->plan->n_early_missed = 0;
        batch->runtime->figures.n_early++;
    }
    if (tell_key(batch, &key)) {
        row_memory_note(batch->runtime->row_memory, text_chars(&key), clock_monotonic_us(),
                        answer->results[batch->at_kept], batch->read_us);
        answer->results[batch->at_kept] = NULL;
    }
    text_done(&key);
}
