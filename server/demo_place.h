/*
 * Where a demo plays, and what it takes away with it at the end: a directory below TMPDIR and
 * either an embedded PostgreSQL in it or, in a database that was named, two schemas of its own, one
 * for latchkey and one for the application's tables.
 */
#pragma once
#include "database_choice.h"

#include <stdint.h>

struct event_base;
struct pg_conn;

struct demo_place {
    char directory[512];
    char data_dir[520];   /* "" when a database was named */
    struct text conninfo; /* with the application's schema on the search path */
    char schema[SCHEMA_BYTES];
    char application_schema[SCHEMA_BYTES]; /* "" in a server of its own */
    struct event_base *base;
    struct pg_conn *conn;
};

/* Blocking. *place wants demo_place_close, also after a failure. */
MUST_CHECK bool demo_place_open(const struct command_line *line, struct event_base *base,
                                struct demo_place *place, struct fault *fault);

/* Stops and removes all that was made. Says on stderr what it could not remove. */
void demo_place_close(struct demo_place *place);

/* Writes a sample's text to a file of the same name in the directory: its path is added to *out. */
MUST_CHECK bool demo_place_write(struct demo_place *place, const char *sample, const char *file,
                                 struct text *out, struct fault *fault);

/* Runs a script. */
MUST_CHECK bool demo_place_run(struct demo_place *place, const char *script, struct fault *fault);

/* Runs the sample's schema.sql, and its check.sql if it has one. */
MUST_CHECK bool demo_place_load(struct demo_place *place, const char *sample, struct fault *fault);

/* The single number that a query gives. param is its $1, or NULL for none. */
MUST_CHECK bool demo_place_number(struct demo_place *place, const char *query, const int64_t *param,
                                  int64_t *out, struct fault *fault);
