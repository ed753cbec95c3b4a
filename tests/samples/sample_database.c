#include "sample_database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    AWAIT_MS = 60 * 1000,
};

char *sample_database_read(const char *path)
{
    FILE *stream = fopen(path, "re");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, 0, SEEK_END), 0);
    long length = ftell(stream);
    rewind(stream);
    char *text = calloc(1, (size_t)length + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)length, stream), length);
    fclose(stream);
    return text;
}

static void load(PGconn *conn, const char *sample, const char *file)
{
    char path[SAMPLE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s/%s", SAMPLES, sample, file);
    if (access(path, R_OK) != 0)
        return;
    char *script = sample_database_read(path);
    fixture_exec(conn, script);
    free(script);
}

int sample_database_set_up(void **state, const char *sample)
{
    struct sample_database *database = calloc(1, sizeof *database);
    if (!database)
        return 1;
    snprintf(database->directory, sizeof database->directory, "/tmp/latchkey-test-XXXXXX");
    if (!fixture_database_new(database->conninfo) || !mkdtemp(database->directory)) {
        free(database);
        return 1;
    }
    setenv("LATCHKEY_DATABASE", database->conninfo, 1);
    database->conn = fixture_connect(database->conninfo);
    load(database->conn, sample, "schema.sql");
    load(database->conn, sample, "check.sql");
    *state = database;
    return 0;
}

int sample_database_tear_down(void **state)
{
    struct sample_database *database = *state;
    char command[128];
    unsetenv("LATCHKEY_DATABASE");
    PQfinish(database->conn);
    fixture_database_drop(database->conninfo);
    snprintf(command, sizeof command, "rm -rf '%s'", database->directory);
    int failed = system(command);
    free(database);
    return failed;
}

void sample_database_write(const struct sample_database *database, const char *name,
                           const char *text, char path[SAMPLE_PATH_BYTES])
{
    snprintf(path, SAMPLE_PATH_BYTES, "%s/%s", database->directory, name);
    FILE *stream = fopen(path, "we");
    assert_non_null(stream);
    assert_true(fputs(text, stream) >= 0);
    assert_int_equal(fclose(stream), 0);
}

/* The gate is an advisory lock with two numbers, which latchkey's own never have: the test holds
 * it, the sessions want to share it. */
void sample_database_gate(const struct sample_database *database, const char *what,
                          const char *table, const char *condition)
{
    fixture_exec(database->conn, "SELECT pg_advisory_lock(77, 1)");
    fixture_execf(database->conn,
                  "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                  " PERFORM pg_advisory_xact_lock_shared(77, 1); RETURN NEW; END $$;"
                  "CREATE TRIGGER gate BEFORE %s ON %s FOR EACH ROW WHEN (%s)"
                  " EXECUTE FUNCTION gate()",
                  what, table, condition);
}

void sample_database_open_gate(const struct sample_database *database)
{
    fixture_exec(database->conn, "SELECT pg_advisory_unlock(77, 1)");
}

void sample_database_await_gate(const struct sample_database *database, int n)
{
    char sql[256];
    /* Behind the one who stands before the gate others may stand before its row. */
    snprintf(sql, sizeof sql,
             "SELECT count(DISTINCT pid) >= %d AND bool_or(locktype = 'advisory') FROM pg_locks"
             " JOIN pg_stat_activity USING (pid) WHERE NOT granted"
             " AND datname = current_database()"
             " AND (locktype <> 'advisory' OR (classid = 77 AND objsubid = 2))",
             n);
    fixture_eventually_true(database->conn, sql, AWAIT_MS);
}

/* Not by pg_stat_activity, which stands still inside a transaction of the test's. */
void sample_database_await_locks(const struct sample_database *database, int n)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT count(DISTINCT pid) >= %d FROM pg_locks WHERE NOT granted"
             " AND locktype = 'advisory' AND objsubid = 1"
             " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
             n);
    fixture_eventually_true(database->conn, sql, AWAIT_MS);
}
