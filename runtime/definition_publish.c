#include "definition_publish.h"

#include "definition_change.h"
#include "definition_store.h"
#include "pg_pool.h"
#include "runtime_state.h"

#include <stdlib.h>
#include <string.h>

enum {
    LOCK_WAIT_MS = 30 * 1000,
    CONNECTION_WAIT_US = 30 * 1000 * 1000,
    ANSWER_US = 10 * 1000 * 1000,
    TRIES_MAX = 5, /* of a publishing whose connection was lost */
};

struct definition_publish {
    struct runtime *runtime;
    const struct definition *definition;
    int base;
    const char *published_by;
    definition_publish_fn *done;
    void *arg;
    struct pg_request *request; /* LOOKING */
    struct pg_conn *conn;       /* LOOKING */
    struct definition_change *change;
    int version; /* CHANGING: the new one; 0 = its text was there already, in latest */
    int latest;
    int n_tries;
};

void definition_publish_cancel(struct definition_publish *publish)
{
    if (!publish)
        return;
    if (publish->request)
        pg_pool_cancel(publish->request);
    if (publish->conn)
        pg_pool_give(publish->runtime->pool, publish->conn);
    definition_change_cancel(publish->change);
    free(publish);
}

static void finish(struct definition_publish *publish, int version, bool published,
                   const struct fault *fault)
{
    definition_publish_fn *done = publish->done;
    void *arg = publish->arg;
    definition_publish_cancel(publish);
    done(version, published, fault, arg);
}

/* Whether it is to be written; false with a fault: it must not be. */
static bool is_wanted(struct definition_publish *publish, const PGresult *latest,
                      struct fault *fault)
{
    struct stored_definition stored;
    *fault = (struct fault){0};
    if (!definition_store_read(latest, &stored, fault))
        return false;
    free(stored.source);
    publish->latest = stored.version;
    if (publish->base >= 0 && publish->base != stored.version)
        return fault_set(
            fault, FAULT_CONFLICT,
            "'%s' was changed meanwhile: the latest version is %d, the change was made from %d",
            publish->definition->name, stored.version, publish->base);
    return !stored.version || strcmp(stored.checksum, publish->definition->checksum) != 0;
}

/* ---- under the lock ---- */

static void look(struct pg_pipeline *pipeline, void *arg)
{
    struct definition_publish *publish = arg;
    definition_store_add_read(pipeline, publish->definition->name, 0);
}

static void held(PGresult **results, void *arg)
{
    struct definition_publish *publish = arg;
    struct fault fault;
    if (!is_wanted(publish, results[0], &fault)) {
        definition_change_drop(publish->change, fault.kind ? &fault : NULL);
        return;
    }
    publish->version = publish->latest + 1;
    if (definition_store_add_version(definition_change_pipeline(publish->change),
                                     publish->definition, publish->version, publish->published_by,
                                     &fault))
        definition_change_commit(publish->change);
    else
        definition_change_drop(publish->change, &fault);
}

static bool change(struct definition_publish *publish, struct fault *fault);

static void changed(enum definition_change_end end, const struct fault *fault, void *arg)
{
    struct definition_publish *publish = arg;
    struct fault failed;
    publish->change = NULL;
    switch (end) {
    case CHANGE_COMMITTED: finish(publish, publish->version, true, NULL); return;
    case CHANGE_DROPPED: finish(publish, publish->latest, false, NULL); return;
    case CHANGE_REFUSED:
        fault_set(&failed, FAULT_CONFLICT, "somebody else is publishing '%s': no lock within %d s",
                  publish->definition->name, LOCK_WAIT_MS / 1000);
        memcpy(failed.sqlstate, "55P03", sizeof failed.sqlstate); /* lock_not_available */
        break;
    case CHANGE_FAILED:
        failed = *fault;
        /* a version that was added all the same is found to be equal; a base would not fit it */
        if (failed.kind == FAULT_UNKNOWN && publish->base < 0 && ++publish->n_tries < TRIES_MAX &&
            change(publish, &failed))
            return;
        break;
    }
    finish(publish, 0, false, &failed);
}

static bool change(struct definition_publish *publish, struct fault *fault)
{
    const char *const names[] = {publish->definition->name};
    struct definition_change_options options = {
        .names = names,
        .n_names = 1,
        .wait_ms = LOCK_WAIT_MS,
        .look = look,
        .held = held,
        .done = changed,
        .arg = publish,
    };
    return definition_change_start(publish->runtime, &options, &publish->change, fault);
}

/* ---- before it ---- */

static void on_looked(struct pg_answer *answer, void *arg)
{
    struct definition_publish *publish = arg;
    struct fault fault = answer->fault;
    pg_pool_give(publish->runtime->pool, publish->conn);
    publish->conn = NULL;
    bool wanted = fault.kind || is_wanted(publish, answer->results[0], &fault);
    if (wanted && (!fault.kind || answer->connection_lost) && change(publish, &fault))
        return;
    finish(publish, publish->latest, false, fault.kind ? &fault : NULL);
}

static void on_connection(struct pg_conn *conn, const struct fault *fault, void *arg)
{
    struct definition_publish *publish = arg;
    struct fault failed;
    publish->request = NULL;
    publish->conn = conn;
    if (!conn) {
        failed = *fault;
        finish(publish, 0, false, &failed);
        return;
    }
    struct pg_pipeline *pipeline = pg_pipeline_new();
    if (pipeline)
        look(pipeline, publish);
    bool ok = pipeline ? pg_conn_send(conn, pipeline, ANSWER_US, on_looked, publish, &failed)
                       : fault_no_memory(&failed);
    pg_pipeline_free(pipeline);
    if (!ok)
        finish(publish, 0, false, &failed);
}

bool definition_publish_start(struct runtime *runtime, const struct definition *definition,
                              int base, const char *published_by, definition_publish_fn *done,
                              void *arg, struct definition_publish **out, struct fault *fault)
{
    struct definition_publish *publish = calloc(1, sizeof *publish);
    if (!publish)
        return fault_no_memory(fault);
    *publish = (struct definition_publish){
        .runtime = runtime,
        .definition = definition,
        .base = base,
        .published_by = published_by,
        .done = done,
        .arg = arg,
    };
    if (!pg_pool_take(runtime->pool, PG_POOL_ORDINARY, CONNECTION_WAIT_US, on_connection, publish,
                      &publish->request, fault)) {
        definition_publish_cancel(publish);
        return false;
    }
    *out = publish;
    return true;
}
