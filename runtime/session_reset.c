#include "session_reset.h"

#include "pg_pool.h"
#include "runtime_state.h"

#include <stdlib.h>

enum {
    ANSWER_US = 5 * 1000 * 1000,
};

struct session_reset {
    struct runtime *runtime;
    struct pg_conn *conn;
    struct pg_pipeline *pipeline;
    LIST_ENTRY(session_reset) link;
};

static void end(struct session_reset *reset, bool clean)
{
    if (clean)
        pg_pool_give(reset->runtime->pool, reset->conn);
    else
        pg_pool_discard(reset->runtime->pool, reset->conn);
    LIST_REMOVE(reset, link);
    pg_pipeline_free(reset->pipeline);
    free(reset);
}

void session_reset_cancel(struct session_reset *reset)
{
    end(reset, /* clean= */ false);
}

static void on_reset(struct pg_answer *answer, void *arg)
{
    end(arg, !answer->fault.kind);
}

static void add_texts(struct pg_pipeline *pipeline)
{
    static const char *const texts[] = {"RESET SESSION AUTHORIZATION", "RESET ALL",
                                        "SELECT pg_catalog.pg_advisory_unlock_all()",
                                        "DISCARD TEMP"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        pg_pipeline_add(pipeline, PG_PREPARED, texts[i], 0, NULL);
}

/* RESET ALL goes back to what the session began with, and the pooler began it: what we asked of the
 * pooler, which keeps it up from session to session, is said again. */
void session_reset_add(const struct runtime *runtime, struct pg_pipeline *pipeline)
{
    const char *params[] = {runtime->tag};
    add_texts(pipeline);
    pg_pipeline_add(pipeline, PG_PREPARED,
                    "SELECT pg_catalog.set_config('client_encoding', 'UTF8', false),"
                    " pg_catalog.set_config('application_name', $1::text, false)",
                    1, params);
}

static bool send(struct session_reset *reset)
{
    struct fault ignored;
    add_texts(reset->pipeline);
    return pg_conn_send(reset->conn, reset->pipeline, ANSWER_US, on_reset, reset, &ignored);
}

void session_reset_start(struct runtime *runtime, struct pg_conn *conn)
{
    struct session_reset *reset = calloc(1, sizeof *reset);
    struct pg_pipeline *pipeline = pg_pipeline_new();
    if (!reset || !pipeline || !pg_conn_is_idle(conn)) {
        free(reset);
        pg_pipeline_free(pipeline);
        pg_pool_discard(runtime->pool, conn);
        return;
    }
    *reset = (struct session_reset){.runtime = runtime, .conn = conn, .pipeline = pipeline};
    LIST_INSERT_HEAD(&runtime->resets, reset, link);
    if (!send(reset))
        end(reset, /* clean= */ false);
}
