/*
 * Instances whose run ended at an activity that kept nothing. They stay at their last commit point:
 * failed or blocked ones until somebody resumes them, those that only had no luck (locked,
 * conflict, expired) with a job that goes on later. Many are written in one statement.
 */
#pragma once
#include "execution.h"
#include "pg_pipeline.h"

enum {
    INSTANCE_STOP_COLUMNS = 5,
};

struct instance_stops {
    struct text columns[INSTANCE_STOP_COLUMNS];
    int n;
};

void instance_stops_init(struct instance_stops *stops);
void instance_stops_done(struct instance_stops *stops);

/* True if the end of this execution has to be written into its instance's row. */
bool instance_stop_needed(const struct execution *execution);

void instance_stops_add(struct instance_stops *stops, struct execution *execution);

/* Adds the statement, none if there are no rows. */
MUST_CHECK bool instance_stops_add_statement(struct instance_stops *stops,
                                             struct pg_pipeline *pipeline, struct fault *fault);
