#include "batch_keys.h"

#include "overseer.h"
#include "pg_array.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEYS_BYTES_MAX = 64 << 20,
    READ_COLUMNS = 4,            /* asker, workflow, key, input */
    SAVE_COLUMNS = 5,            /* and instance, result */
    BOUND_PAUSE_US = 100 * 1000, /* between looks at an instance that another run has at hand */
};

/* of key_read.sql */
enum key_column {
    KEY_ASKER,
    KEY_INSTANCE,
    KEY_SAME_INPUT,
    KEY_RESULT,
    KEY_STOPPED,
    KEY_ABANDONED,
};

static void begin(struct text *columns, int n)
{
    for (int i = 0; i < n; i++) {
        text_init(&columns[i], KEYS_BYTES_MAX);
        pg_array_begin(&columns[i]);
    }
}

static void done(struct text *columns, int n)
{
    for (int i = 0; i < n; i++)
        text_done(&columns[i]);
}

static void end(struct text *columns, int n, const char **params)
{
    for (int i = 0; i < n; i++) {
        pg_array_end(&columns[i]);
        params[i] = text_chars(&columns[i]);
    }
}

static bool all_ok(const struct text *columns, int n, struct fault *fault)
{
    for (int i = 0; i < n; i++)
        if (!text_ok(&columns[i], fault))
            return false;
    return true;
}

static void add_json(struct text *column, const json_t *value)
{
    char *json = value ? json_write(value) : NULL;
    column->failed = column->failed || (value && !json);
    pg_array_add(column, json);
    free(json);
}

/* ---- reading ---- */

/* Only the first activity of a new instance asks: later ones have the key. */
static bool asks(const struct member *member)
{
    const struct execution *execution = member->execution;
    return member->fate == FATE_OPEN && execution->key && execution->origin == ORIGIN_START &&
           execution->first;
}

int batch_keys_add_read(struct batch *batch)
{
    struct text columns[READ_COLUMNS];
    const char *params[READ_COLUMNS + 1];
    char ownership_ms[24];
    int n = 0, at = NO_STATEMENT;
    begin(columns, READ_COLUMNS);
    for (struct member *member = batch->members; member; member = member->next) {
        if (!asks(member))
            continue;
        pg_array_add(&columns[0], member->execution->id);
        pg_array_add(&columns[1], member->execution->workflow->definition->name);
        pg_array_add(&columns[2], member->execution->key);
        add_json(&columns[3], member->execution->input);
        n++;
    }
    end(columns, READ_COLUMNS, params);
    snprintf(ownership_ms, sizeof ownership_ms, "%lld",
             (long long)overseer_silence_ms(batch->runtime->overseer));
    params[READ_COLUMNS] = ownership_ms;
    if (n > 0)
        at = pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_KEY_READ, READ_COLUMNS + 1, params);
    done(columns, READ_COLUMNS);
    return at;
}

static bool is_true(const PGresult *rows, int row, enum key_column column)
{
    return !PQgetisnull(rows, row, (int)column) && *PQgetvalue(rows, row, (int)column) == 't';
}

static void replay(struct member *member, const char *text)
{
    struct fault fault;
    struct result recorded;
    const char *paths[LOCK_SET_PATHS_MAX];
    struct execution *execution = member->execution;
    json_t *json = NULL;
    if (!json_read("the recorded answer", text, strlen(text), &json, &fault) ||
        !result_read(json, paths, LOCK_SET_PATHS_MAX, &recorded, &fault)) {
        json_decref(json);
        member_drop_for_fault(member, &fault);
        return;
    }
    json_decref(execution->recorded);
    execution->recorded = json;
    execution->replayed = true;
    member_drop(member, recorded.status, NULL);
}

static void drop_other_input(struct member *member)
{
    member_drop(member, STATUS_INVALID, "the idempotency key was used before, with another input");
    member->execution->cause = CAUSE_KEY;
}

/* Its instance has not ended. */
static void join_bound(struct member *member, const PGresult *rows, int row)
{
    struct execution *execution = member->execution;
    const char *instance = PQgetvalue(rows, row, KEY_INSTANCE);
    if (strcmp(instance, execution->id) == 0) {
        execution->key_bound = true; /* a queued one: now it runs */
    } else if (is_true(rows, row, KEY_ABANDONED)) {
        /* its job came to nothing: this is the instance now */
        snprintf(execution->id, sizeof execution->id, "%s", instance);
        execution->key_bound = true;
    } else if (is_true(rows, row, KEY_STOPPED)) {
        snprintf(execution->follow, sizeof execution->follow, "%s", instance);
        member_drop(member, STATUS_BLOCKED, "the instance with this key is gone on with");
    } else {
        member->fate = FATE_ASIDE; /* the instance's own run may stand behind it */
        member->delay_us = BOUND_PAUSE_US;
    }
}

void batch_keys_read(struct batch *batch, const PGresult *rows)
{
    for (struct member *member = batch->members; member; member = member->next) {
        struct execution *execution = member->execution;
        if (!asks(member))
            continue;
        int row = 0;
        while (row < PQntuples(rows) &&
               strcmp(PQgetvalue(rows, row, KEY_ASKER), execution->id) != 0)
            row++;
        if (row == PQntuples(rows))
            continue;
        if (!is_true(rows, row, KEY_SAME_INPUT))
            drop_other_input(member);
        else if (!PQgetisnull(rows, row, KEY_RESULT))
            replay(member, PQgetvalue(rows, row, KEY_RESULT));
        else
            join_bound(member, rows, row);
    }
    batch_hold_back(batch);
}

void batch_keys_hold_back(struct batch *batch, struct member *member)
{
    const struct execution *execution = member->execution;
    if (!execution->key || !execution->first)
        return;
    for (struct member *later = member->next; later; later = later->next) {
        if (asks(later) && strcmp(later->execution->key, execution->key) == 0 &&
            strcmp(later->execution->workflow->definition->name,
                   execution->workflow->definition->name) == 0)
            member_again(later, /* alone= */ false, 0);
    }
    batch_hold_back(batch);
}

/* ---- writing ---- */

static bool record(struct execution *execution, struct fault *fault)
{
    const char *paths[LOCK_SET_PATHS_MAX];
    struct result result;
    enum instance_step step = execution->instance.next.step;
    json_decref(execution->recorded);
    execution->recorded = NULL;
    if (step == STEP_GOES_ON)
        return true;
    execution_set_outcome(execution, step == STEP_IDLES ? STATUS_IDLE : STATUS_COMPLETED, NULL);
    execution_describe(execution, paths, &result);
    result.output = execution->instance.next.output ? execution->instance.next.output
                                                    : execution->instance.output;
    execution->recorded = result_to_json(&result);
    return execution->recorded || fault_no_memory(fault);
}

static void add_row(struct text *column, const struct execution *execution)
{
    pg_array_add(column++, execution->workflow->definition->name);
    pg_array_add(column++, execution->key);
    add_json(column++, execution->input);
    pg_array_add(column++, execution->id);
    add_json(column++, execution->recorded);
}

bool batch_keys_add_saves(struct batch *batch, struct fault *fault)
{
    struct text inserts[SAVE_COLUMNS], updates[SAVE_COLUMNS];
    const char *params[SAVE_COLUMNS + 1];
    int n_inserts = 0, n_updates = 0;
    char count[24];
    bool ok = true;
    begin(inserts, SAVE_COLUMNS);
    begin(updates, SAVE_COLUMNS);
    for (struct member *member = batch->members; ok && member; member = member->next) {
        struct execution *execution = member->execution;
        if (member->fate != FATE_KEPT || !execution->key)
            continue;
        ok = record(execution, fault);
        bool bound = execution->key_bound || execution->instance.stored;
        if (bound && !execution->recorded)
            continue; /* nothing new to say */
        add_row(bound ? updates : inserts, execution);
        n_inserts += !bound;
        n_updates += bound;
    }
    end(inserts, SAVE_COLUMNS, params);
    params[SAVE_COLUMNS] = count;
    snprintf(count, sizeof count, "%d", n_inserts);
    if (n_inserts)
        pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_KEY_INSERT, SAVE_COLUMNS + 1, params);
    end(updates, SAVE_COLUMNS, params);
    snprintf(count, sizeof count, "%d", n_updates);
    if (n_updates)
        pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_KEY_RESULT, SAVE_COLUMNS + 1, params);
    ok = ok && all_ok(inserts, SAVE_COLUMNS, fault) && all_ok(updates, SAVE_COLUMNS, fault);
    done(inserts, SAVE_COLUMNS);
    done(updates, SAVE_COLUMNS);
    return ok;
}
