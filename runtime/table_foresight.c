#include "table_foresight.h"

#include "catalogue.h"
#include "clock.h"
#include "definition.h"
#include "definition_store.h"
#include "errand.h"

#include <stdlib.h>
#include <string.h>

enum {
    CONNECTION_WAIT_US = 1000 * 1000,
    ANSWER_US = 10 * 1000 * 1000,
    HOLDS_US = 2 * 1000 * 1000,
};

/*
 *   GLANCING --all are ordinary--> over
 *       \--some are not--> LOOKING --> over
 *
 * The glance brings the version too. Whatever fails ends it: the workflow's own look tells.
 */
struct table_foresight {
    struct runtime *runtime;
    struct errand *errand;
    char **names; /* of the tables that are still to be learned */
    int n_names;
};

static void foresight_free(struct table_foresight *foresight)
{
    for (int i = 0; i < foresight->n_names; i++)
        free(foresight->names[i]);
    free(foresight->names);
    foresight->runtime->foresight = NULL;
    free(foresight);
}

static void finish(struct table_foresight *foresight, bool all)
{
    if (all)
        foresight->runtime->foreseen_until_us = clock_monotonic_us() + HOLDS_US;
    foresight_free(foresight);
}

/* ---- the whole look ---- */

static void on_looked(struct pg_answer *answer, void *arg)
{
    struct table_foresight *foresight = arg;
    struct runtime *runtime = foresight->runtime;
    const struct table *table;
    struct fault ignored;
    bool all = !answer->fault.kind && !answer->connection_lost;
    for (int i = 0; all && i < foresight->n_names; i++)
        all = catalogue_learn(runtime->catalogue, foresight->names[i], runtime->schema,
                              answer->results[i], &table, &ignored);
    finish(foresight, all);
}

static void look(struct table_foresight *foresight)
{
    struct pg_pipeline *pipeline = pg_pipeline_new();
    struct fault ignored;
    for (int i = 0; pipeline && i < foresight->n_names; i++)
        catalogue_ask(pipeline, foresight->names[i]);
    if (!errand_start(foresight->runtime, PG_POOL_ORDINARY, pipeline, CONNECTION_WAIT_US, ANSWER_US,
                      on_looked, foresight, &foresight->errand, &ignored))
        foresight_free(foresight);
}

/* ---- the glance ---- */

/* Takes out the names of what it has learned. */
static bool learn(struct table_foresight *foresight, const struct pg_answer *answer)
{
    struct runtime *runtime = foresight->runtime;
    int n_left = 0, n_names = foresight->n_names;
    bool ok = true;
    for (int i = 0; i < n_names; i++) {
        char *name = foresight->names[i];
        const struct table *table = NULL;
        struct fault ignored;
        ok = ok && catalogue_learn_glance(runtime->catalogue, name, runtime->schema,
                                          answer->results[i], &table, &ignored);
        if (table)
            free(name);
        else
            foresight->names[n_left++] = name;
    }
    foresight->n_names = n_left;
    return ok;
}

static void note_version(struct table_foresight *foresight, const PGresult *latest)
{
    struct runtime *runtime = foresight->runtime;
    struct stored_definition stored;
    struct fault ignored;
    if (!definition_store_read(latest, &stored, &ignored))
        return;
    if (stored.version) {
        runtime->foreseen_version = (struct foreseen_version){
            .number = stored.version, .until_us = clock_monotonic_us() + HOLDS_US};
        memcpy(runtime->foreseen_version.checksum, stored.checksum, sizeof stored.checksum);
    }
    free(stored.source);
}

/* The version stands last: where there is no schema yet, it is all that fails. */
static void on_glanced(struct pg_answer *answer, void *arg)
{
    struct table_foresight *foresight = arg;
    int n_names = foresight->n_names;
    foresight->errand = NULL;
    if (answer->connection_lost || (answer->fault.kind && answer->failed != n_names)) {
        foresight_free(foresight);
        return;
    }
    if (!answer->fault.kind)
        note_version(foresight, answer->results[n_names]);
    if (!learn(foresight, answer))
        foresight_free(foresight);
    else if (foresight->n_names)
        look(foresight);
    else
        finish(foresight, /* all= */ true);
}

static bool ask(struct table_foresight *foresight, const struct definition *definition,
                struct pg_pipeline *pipeline)
{
    foresight->names = calloc((size_t)definition->n_data, sizeof *foresight->names);
    if (!pipeline || !foresight->names)
        return false;
    for (int i = 0; i < definition->n_data; i++) {
        char *name = strdup(definition->data[i].table);
        if (!name)
            return false;
        foresight->names[foresight->n_names++] = name;
        catalogue_ask_glance(pipeline, name);
    }
    definition_store_add_read(pipeline, definition->name, 0);
    return true;
}

void table_foresight_start(struct runtime *runtime, const struct definition *definition)
{
    struct table_foresight *foresight = calloc(1, sizeof *foresight);
    struct fault ignored;
    if (!foresight || runtime->foresight || !definition->n_data) {
        free(foresight);
        return;
    }
    foresight->runtime = runtime;
    runtime->foresight = foresight;
    struct pg_pipeline *pipeline = pg_pipeline_new();
    if (!ask(foresight, definition, pipeline)) {
        pg_pipeline_free(pipeline);
        foresight_free(foresight);
    } else if (!errand_start(runtime, PG_POOL_ORDINARY, pipeline, CONNECTION_WAIT_US, ANSWER_US,
                             on_glanced, foresight, &foresight->errand, &ignored)) {
        foresight_free(foresight);
    }
}

bool table_foresight_runs(const struct runtime *runtime)
{
    return runtime->foresight != NULL;
}

void table_foresight_stop(struct runtime *runtime)
{
    if (!runtime->foresight)
        return;
    errand_cancel(runtime->foresight->errand);
    foresight_free(runtime->foresight);
}

bool table_foresight_holds(const struct runtime *runtime)
{
    return clock_monotonic_us() < runtime->foreseen_until_us;
}

void table_foresight_forget_version(struct runtime *runtime)
{
    runtime->foreseen_version.number = 0;
}

int table_foresight_take_version(struct runtime *runtime, const struct definition *definition)
{
    struct foreseen_version version = runtime->foreseen_version;
    table_foresight_forget_version(runtime);
    return strcmp(version.checksum, definition->checksum) == 0 &&
                   clock_monotonic_us() < version.until_us
               ? version.number
               : 0;
}
