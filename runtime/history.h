/*
 * Rows about executions, gathered and written in one statement a table: the instance (of what was
 * kept) and the history row, as far as the workflow's `history` wants them.
 */
#pragma once
#include "execution.h"
#include "pg_pipeline.h"
#include "text.h"

enum {
    INSTANCE_COLUMNS = 7,
    EXECUTION_COLUMNS = 10,
};

struct history {
    struct text instances[INSTANCE_COLUMNS];
    struct text executions[EXECUTION_COLUMNS];
    int n_instances;
    int n_executions;
    bool failed;
};

void history_init(struct history *history);
void history_done(struct history *history);

/* An execution whose changes are committed in the same transaction; it completes its workflow. */
void history_add_kept(struct history *history, const struct execution *execution, int64_t now_us);

/* An execution that kept nothing; its outcome is set. */
void history_add_dropped(struct history *history, const struct execution *execution);

/* Adds the statements, none if there are no rows. */
MUST_CHECK bool history_add_statements(struct history *history, const char *process_id,
                                       struct pg_pipeline *pipeline, struct fault *fault);
