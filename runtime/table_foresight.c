#include "table_foresight.h"

#include "catalogue.h"
#include "clock.h"
#include "definition.h"
#include "errand.h"

#include <stdlib.h>
#include <string.h>

enum {
    CONNECTION_WAIT_US = 1000 * 1000,
    ANSWER_US = 10 * 1000 * 1000,
    HOLDS_US = 2 * 1000 * 1000,
};

struct table_foresight {
    struct runtime *runtime;
    struct errand *errand;
    char **names;
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

static void on_answer(struct pg_answer *answer, void *arg)
{
    struct table_foresight *foresight = arg;
    struct runtime *runtime = foresight->runtime;
    const struct table *table;
    struct fault ignored;
    bool all = !answer->fault.kind && !answer->connection_lost;
    for (int i = 0; all && i < foresight->n_names; i++)
        all = catalogue_learn(runtime->catalogue, foresight->names[i], runtime->schema,
                              answer->results[i], &table, &ignored);
    if (all)
        runtime->foreseen_until_us = clock_monotonic_us() + HOLDS_US;
    foresight_free(foresight);
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
        catalogue_ask(pipeline, name);
    }
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
                             on_answer, foresight, &foresight->errand, &ignored)) {
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
