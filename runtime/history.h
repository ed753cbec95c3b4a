/*
 * The history: one row an execution, as far as the workflow's `history` wants them, gathered and
 * written in one statement.
 */
#pragma once
#include "execution.h"
#include "pg_column.h"
#include "pg_pipeline.h"

enum {
    EXECUTION_COLUMNS = 11,
};

struct history {
    struct pg_column executions[EXECUTION_COLUMNS];
    int n_executions;
    bool failed;
};

void history_init(struct history *history);
void history_done(struct history *history);

/* An execution whose changes are committed in the same transaction. */
void history_add_kept(struct history *history, const struct execution *execution, int64_t now_us);

/* An execution that kept nothing; its outcome is set. */
void history_add_dropped(struct history *history, const struct execution *execution);

/* Adds the statements, none if there are no rows. */
MUST_CHECK bool history_add_statements(struct history *history, const char *process_id,
                                       struct pg_pipeline *pipeline, struct fault *fault);
