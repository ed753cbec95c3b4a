/*
 * A list of statements that travel to PostgreSQL together, ended by exactly one Sync. Never two
 * Syncs outstanding on a connection. Once a statement fails the server skips the rest to the Sync.
 */
#pragma once
#include "fault.h"

#include <libpq-fe.h>
#include <stdbool.h>

enum {
    PG_PARAMS_MAX = 64, /* of one statement */
};

enum pg_prepare {
    PG_PREPARED, /* kept prepared on the connection: for texts of a bounded number */
    PG_UNNAMED,  /* parsed each time: for texts that designers write */
};

struct pg_pipeline;

/* Yours to free. NULL without memory. */
struct pg_pipeline *pg_pipeline_new(void);
void pg_pipeline_free(struct pg_pipeline *pipeline);

/* Empties it for the next use, keeping its memory. */
void pg_pipeline_clear(struct pg_pipeline *pipeline);

/* Adds a statement and returns its index. text is copied; in PG_PREPARED texts "@schema@" becomes
 * the connection's schema as an identifier and "@schema_literal@" as a string. params are in text
 * format, NULL = SQL null, and copied. Running out of memory is remembered and fails the send. */
int pg_pipeline_add(struct pg_pipeline *pipeline, enum pg_prepare prepare, const char *text,
                    int n_params, const char *const *params);

/* For what is written outside of a batch: the statements between the two are one transaction that
 * may write, also where the server's default is read only. BEGIN goes first and has index 0; the
 * index of COMMIT is returned. */
void pg_pipeline_begin(struct pg_pipeline *pipeline);
int pg_pipeline_commit(struct pg_pipeline *pipeline);

bool pg_pipeline_has_begun(const struct pg_pipeline *pipeline);

int pg_pipeline_length(const struct pg_pipeline *pipeline);
bool pg_pipeline_ok(const struct pg_pipeline *pipeline);

/* Read by pg_conn. Borrowed until the pipeline changes. */
struct pg_statement {
    enum pg_prepare prepare;
    const char *text;
    int n_params;
    const char *params[PG_PARAMS_MAX];
};
void pg_pipeline_read(const struct pg_pipeline *pipeline, int i, struct pg_statement *out);
