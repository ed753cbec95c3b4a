/*
 * Versions of packages are uploaded, unlisted, relisted, soft- and hard-deleted by many host
 * processes at once, and check.sql looks at every commit.
 */
#pragma once
#include "sample_database.h"

struct package_changes {
    int n_packages;
    bool locked;  /* by the sample's definitions; otherwise by them without their locks */
    bool as_jobs; /* with run --queue, while hosts of `serve` take the jobs */
};

enum {
    PACKAGE_CHANGES = 200,
    PACKAGE_CHANGE_HOSTS = 4, /* for each kind of change */
    PACKAGE_JOB_HOSTS = 3,    /* for all jobs */
};

/* Runs them all, and jobs to their end. Fails the test unless each ended completed or blocked (with
 * the lock; without it anything may happen) and each completed one was checked at its commit. */
void package_changes_run(const struct sample_database *database,
                         const struct package_changes *changes);

/* How many commits left wrong flags so far. */
int64_t package_changes_wrong(const struct sample_database *database);

/* The sample's definition of that file without its lock. on_conflict is the line that says what
 * then happens, or "". */
void package_changes_unlock(const struct sample_database *database, const char *file,
                            const char *on_conflict, char path[SAMPLE_PATH_BYTES]);
