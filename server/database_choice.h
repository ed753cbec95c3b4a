/*
 * Which database a command works on: --database, else LATCHKEY_DATABASE, else the PG* variables of
 * libpq, else the embedded PostgreSQL, which is started if need be. And which schema in it is
 * latchkey's own: --schema, else LATCHKEY_SCHEMA, else "latchkey".
 */
#pragma once
#include "text.h"

struct command_line;

enum {
    SCHEMA_BYTES = 64,
};

struct database_choice {
    struct text conninfo; /* "" = the PG* variables */
    char schema[SCHEMA_BYTES];
    bool embedded;
};

/* Starts the embedded server if it is the choice: blocking. *choice wants database_choice_done also
 * after a failure: FAULT_INVALID for a bad name, FAULT_DATABASE without a server. */
MUST_CHECK bool database_choose(const struct command_line *line, struct database_choice *choice,
                                struct fault *fault);
void database_choice_done(struct database_choice *choice);

/* Only the schema, for commands without a database. */
MUST_CHECK bool database_choose_schema(const struct command_line *line, char schema[SCHEMA_BYTES],
                                       struct fault *fault);

/* True if a database is named by an option or the environment. */
bool database_is_named(const struct command_line *line);

/* The directory of the embedded server: --data-dir or the default one. */
MUST_CHECK bool database_data_dir(const struct command_line *line, struct text *out,
                                  struct fault *fault);
