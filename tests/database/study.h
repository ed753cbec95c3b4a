/*
 * What the tests of the catalogue stand on: a desk, and looks at tables that fail the test where
 * the glance and the whole look disagree.
 */
#pragma once
#include "catalogue.h"
#include "desk.h"

struct study {
    struct desk *desk;
    struct pg_conn *conn; /* that looks */
    struct catalogue *catalogue;
};

/* Group setup and teardown, and the setup of each test: what another made is gone. */
int study_open(void **state);
int study_close(void **state);
int study_clear(void **state);

/* Runs statements that must succeed. */
void study_make(struct study *study, const char *sql);

/* The whole look. */
bool study_look_up(struct study *study, const char *name, const struct table **out,
                   struct fault *fault);

/* The glance, in a catalogue of its own, *catalogue, which is yours to free: what is compared must
 * not be the one known already. NULL: the table is not ordinary. */
const struct table *study_glance(struct study *study, const char *name,
                                 struct catalogue **catalogue);

/* The whole look, which must succeed, compared with the glance where that knows the table too. */
const struct table *study_learn(struct study *study, const char *name);
