#include "message_database.h"

#include <stdlib.h>

int message_database_set_up(void **state)
{
    struct message_database *database = calloc(1, sizeof *database);
    if (!database)
        return 1;
    if (!fixture_database_new(database->conninfo)) {
        free(database);
        return 1;
    }
    setenv("LATCHKEY_DATABASE", database->conninfo, 1);
    database->conn = fixture_connect(database->conninfo);
    fixture_execf(database->conn,
                  "CREATE TABLE message (id bigint PRIMARY KEY, title text,"
                  " read bigint NOT NULL DEFAULT 0);"
                  "INSERT INTO message (id) SELECT generate_series(1, %d)",
                  MESSAGE_DATABASE_MESSAGES);
    *state = database;
    return 0;
}

int message_database_tear_down(void **state)
{
    struct message_database *database = *state;
    unsetenv("LATCHKEY_DATABASE");
    PQfinish(database->conn);
    fixture_database_drop(database->conninfo);
    free(database);
    return 0;
}
