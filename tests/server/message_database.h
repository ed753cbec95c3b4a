/* A database of a test's own with the sample's table and 100 messages, named to the program by
 * LATCHKEY_DATABASE. */
#pragma once
#include "postgres_fixture.h"

enum {
    MESSAGE_DATABASE_MESSAGES = 100,
};

struct message_database {
    char conninfo[FIXTURE_CONNINFO_BYTES];
    PGconn *conn;
};

/* For cmocka's set-up and tear-down: *state becomes a struct message_database. */
int message_database_set_up(void **state);
int message_database_tear_down(void **state);
