#include "batch_lone.h"

#include "batch_early.h"
#include "clock.h"
#include "execution_chain.h"
#include "number_text.h"
#include "runtime_sql.h"
#include "runtime_state.h"

#include <stdlib.h>
#include <string.h>

enum {
    PATHS_BYTES_MAX = 1 << 20,
    PARAMS = 15,
};

/* Where the list of sql/lone_keep.sql begins, and the statement after it. */
static const char LIST[] = "instance AS (";
static const char LAST[] = "INSERT INTO @schema@.commit_mark";

bool batch_lone_ends(const struct batch *batch)
{
    const struct member *member = batch->members;
    const struct execution *execution = member->execution;
    const struct instance *instance = &execution->instance;
    return batch_is_alone(batch) && !batch->lease && member->fate == FATE_KEPT &&
           !execution->parks && !instance->stored && instance->next.step == STEP_ENDS &&
           !instance->next.only_persists && !execution->token &&
           !(execution->chain && execution->chain->n_links > 0) &&
           execution->workflow->definition->history == HISTORY_FULL;
}

bool batch_lone_saves(const struct batch *batch)
{
    return batch_lone_ends(batch) && batch_rows_saves_one(batch->rows, PARAMS);
}

static const char *number(char buffer[NUMBER_TEXT_BYTES], int64_t value)
{
    *number_text_int(buffer, value) = '\0';
    return buffer;
}

static const char *milli(char buffer[NUMBER_TEXT_BYTES], int64_t us)
{
    *number_text_milli(buffer, us) = '\0';
    return buffer;
}

bool batch_lone_add_kept(struct batch *batch, struct fault *fault)
{
    const struct execution *execution = batch->members->execution;
    const struct instance *instance = &execution->instance;
    const json_t *output = instance->next.output ? instance->next.output : instance->output;
    char version[NUMBER_TEXT_BYTES], steps[NUMBER_TEXT_BYTES], attempts[NUMBER_TEXT_BYTES];
    char waited[NUMBER_TEXT_BYTES], held[NUMBER_TEXT_BYTES];
    int64_t granted_us = execution->granted_us;
    char *input_json = json_write(execution->input);
    char *vars_json = instance->next.vars ? json_write(instance->next.vars) : NULL;
    char *output_json = output ? json_write(output) : NULL;
    struct text paths;
    text_init(&paths, PATHS_BYTES_MAX);
    execution_add_paths(execution, &paths);
    bool ok = input_json && (vars_json || !instance->next.vars) && (output_json || !output) &&
              text_ok(&paths, fault);
    const char *params[PARAMS] = {
        execution->id,
        execution->workflow->definition->name,
        number(version, execution->workflow->version),
        execution_activity(execution)->name,
        input_json,
        vars_json,
        output_json,
        number(steps, instance->steps + 1),
        batch->runtime->process_id,
        execution->key,
        text_chars(&paths),
        milli(waited, granted_us - execution->submitted_us),
        milli(held, clock_monotonic_us() - granted_us),
        number(attempts, execution->attempts),
        batch->attempt,
    };
    if (ok && batch_lone_saves(batch)) {
        enum save_manner manner = batch_early_manner(batch);
        int at = batch_rows_add_save_within(batch->rows, batch->pipeline, manner,
                                            strstr(SQL_LONE_KEEP, LIST),
                                            strstr(SQL_LONE_KEEP, LAST), PARAMS, params);
        batch->at_kept = manner == SAVE_SILENT ? NO_STATEMENT : at;
    } else if (ok)
        pg_pipeline_add(batch->pipeline, PG_PREPARED, SQL_LONE_KEEP, PARAMS, params);
    else
        fault_no_memory(fault);
    text_done(&paths);
    free(output_json);
    free(vars_json);
    free(input_json);
    return ok && batch_rows_ok(batch->rows, fault);
}
