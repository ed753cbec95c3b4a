/* The activities of a workflow, and the ways from one to the next. */
#pragma once
#include "reading.h"

extern const struct reading_schema activity_read_schema;
extern const struct reading_schema activity_read_navigation_schema;

reading_fn activity_read_all; /* slot: the struct definition */

/* The index of the activity that `value` names; -1, with a problem added, if there is none. */
int activity_read_reference(struct reading *reading, const struct yaml_tree *value);

enum {
    ACTIVITY_DURATION_MAX_DAYS = 24, /* in milliseconds it must fit an int of PostgreSQL's */
};
