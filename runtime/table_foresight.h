/*
 * A look at the tables of a definition that is about to run, and whether it is published already,
 * before the host has entered and the workflow is there: it opens the connection on which the first
 * execution will run, while another does what comes before. What it finds is as good as a
 * workflow's own look-up for as long; what it does not find, or fails at, the workflow's look-up
 * and the publishing find, or tell.
 */
#pragma once
#include "runtime_state.h"

struct table_foresight;

/* Begins it; without memory there is none. */
void table_foresight_start(struct runtime *runtime, const struct definition *definition);

bool table_foresight_runs(const struct runtime *runtime);

/* Ends it, wherever it stands. */
void table_foresight_stop(struct runtime *runtime);

/* True if the catalogue still knows of it: what was foreseen is not old yet. */
bool table_foresight_holds(const struct runtime *runtime);

/* The latest published version, if its text was just seen to be this one's; otherwise 0. It is
 * told once: whoever asks again may have changed it meanwhile. */
int table_foresight_take_version(struct runtime *runtime, const struct definition *definition);

/* This host is about to change what is published. */
void table_foresight_forget_version(struct runtime *runtime);
