/*
 * A database of a test's own with a sample's tables, named to the program by LATCHKEY_DATABASE, a
 * directory for files, and a gate: a place in the sample's tables at which sessions wait until the
 * test lets them through.
 */
#pragma once
#include "postgres_fixture.h"

enum {
    SAMPLE_PATH_BYTES = 512,
};

struct sample_database {
    char conninfo[FIXTURE_CONNINFO_BYTES];
    PGconn *conn;
    char directory[64];
};

/* For cmocka's set-up: schema.sql, and check.sql if there is one, of the sample. */
int sample_database_set_up(void **state, const char *sample);
int sample_database_tear_down(void **state);

/* The file's text: yours to free. */
char *sample_database_read(const char *path);

/* Writes a file in the directory, which goes with the database. */
void sample_database_write(const struct sample_database *database, const char *name,
                           const char *text, char path[SAMPLE_PATH_BYTES]);

/* Who does `what` ("INSERT", "UPDATE") to a row of the table for which the condition is true waits
 * there until the gate is opened. It is closed by this; gates are for one use. */
void sample_database_gate(const struct sample_database *database, const char *what,
                          const char *table, const char *condition);
void sample_database_open_gate(const struct sample_database *database);

/* Wait until so many sessions stand before the gate, or wait for a lock of latchkey's. */
void sample_database_await_gate(const struct sample_database *database, int n);
void sample_database_await_locks(const struct sample_database *database, int n);
