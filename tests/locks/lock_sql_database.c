#include "lock_sql_database.h"

#include "locks_sql.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    SQL_BYTES_MAX = 1 << 20,
    BLOCKED_WITHIN_MS = 5000,
};

char *lock_sql_database_text(PGconn *conn, const char *source, const char *schema)
{
    static const char identifier_mark[] = "@schema@";
    static const char literal_mark[] = "@schema_literal@";
    char *identifier = PQescapeIdentifier(conn, schema, strlen(schema));
    char *literal = PQescapeLiteral(conn, schema, strlen(schema));
    struct text sql;
    text_init(&sql, SQL_BYTES_MAX);
    for (const char *at; (at = strchr(source, '@')); source = at) {
        text_add(&sql, source, (size_t)(at - source));
        if (strncmp(at, identifier_mark, sizeof identifier_mark - 1) == 0) {
            text_add_chars(&sql, identifier);
            at += sizeof identifier_mark - 1;
        } else if (strncmp(at, literal_mark, sizeof literal_mark - 1) == 0) {
            text_add_chars(&sql, literal);
            at += sizeof literal_mark - 1;
        } else {
            text_add_char(&sql, *at++);
        }
    }
    text_add_chars(&sql, source);
    PQfreemem(identifier);
    PQfreemem(literal);
    char *taken = text_take(&sql);
    assert_non_null(taken);
    return taken;
}

void lock_sql_database_load(PGconn *conn, const char *schema)
{
    char *identifier = PQescapeIdentifier(conn, schema, strlen(schema));
    fixture_execf(conn, "CREATE SCHEMA %s", identifier);
    PQfreemem(identifier);
    for (const struct sql_text *migration = locks_migrations; migration->name; migration++) {
        char *sql = lock_sql_database_text(conn, migration->text, schema);
        fixture_exec(conn, sql);
        free(sql);
    }
}

int lock_sql_database_create(void **state)
{
    struct lock_sql_database *database = calloc(1, sizeof *database);
    if (!database || !fixture_database_new(database->conninfo)) {
        free(database);
        return -1;
    }
    *state = database;
    PGconn *conn = fixture_connect(database->conninfo);
    lock_sql_database_load(conn, "latchkey");
    PQfinish(conn);
    return 0;
}

int lock_sql_database_drop(void **state)
{
    struct lock_sql_database *database = *state;
    fixture_database_drop(database->conninfo);
    free(database);
    return 0;
}

int lock_sql_database_connect(void **state)
{
    struct lock_sql_database *database = *state;
    PGconn **conns[] = {&database->one, &database->two, &database->three, &database->observer};
    for (size_t i = 0; i < sizeof conns / sizeof conns[0]; i++) {
        *conns[i] = fixture_connect(database->conninfo);
        fixture_exec(*conns[i], "SET statement_timeout = '20s'");
    }
    return 0;
}

int lock_sql_database_disconnect(void **state)
{
    struct lock_sql_database *database = *state;
    PQfinish(database->one);
    PQfinish(database->two);
    PQfinish(database->three);
    PQfinish(database->observer);
    return 0;
}

void lock_sql_block(struct lock_sql_database *database, PGconn *conn, const char *sql)
{
    char ask[128];
    if (!PQsendQuery(conn, sql))
        fail_msg("%s", PQerrorMessage(conn));
    snprintf(ask, sizeof ask, "SELECT count(*) > 0 FROM pg_locks WHERE pid = %d AND NOT granted",
             PQbackendPID(conn));
    fixture_eventually_true(database->observer, ask, BLOCKED_WITHIN_MS);
}

void lock_sql_answer(PGconn *conn, char sqlstate[6], char *value, size_t value_bytes)
{
    sqlstate[0] = '\0';
    value[0] = '\0';
    for (PGresult *result; (result = PQgetResult(conn)); PQclear(result)) {
        const char *failed = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        if (failed)
            snprintf(sqlstate, 6, "%s", failed);
        else if (PQntuples(result) == 1)
            snprintf(value, value_bytes, "%s", PQgetvalue(result, 0, 0));
    }
}
