/* A database with the SQL half of the locks in it, for the tests of a group. */
#pragma once
#include "postgres_fixture.h"

struct lock_sql_database {
    char conninfo[FIXTURE_CONNINFO_BYTES];
    PGconn *one;
    PGconn *two;
    PGconn *three;
    PGconn *observer; /* never inside a transaction */
};

/* For a group: makes the database, drops it. For a test: connects, disconnects. */
int lock_sql_database_create(void **state);
int lock_sql_database_drop(void **state);
int lock_sql_database_connect(void **state);
int lock_sql_database_disconnect(void **state);

/* The text with its placeholders replaced; yours to free. */
char *lock_sql_database_text(PGconn *conn, const char *source, const char *schema);

/* Loads the migration into a new schema. */
void lock_sql_database_load(PGconn *conn, const char *schema);

/* Sends a statement that will wait for a lock, and returns once it does. */
void lock_sql_block(struct lock_sql_database *database, PGconn *conn, const char *sql);

/* Waits for the answer of what lock_sql_block sent: its single value, and the sqlstate ("" = fine).
 */
void lock_sql_answer(PGconn *conn, char sqlstate[6], char *value, size_t value_bytes);
