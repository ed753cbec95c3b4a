/* The SQL half against the C half, and what lock() refuses. Waiting: lock_sql_wait_test.c. */
#include "lock_set.h"
#include "lock_sql_database.h"
#include "locks_sql.h"
#include "locks_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    TEXT_BYTES = 8192,
    N_TEXTS = 4000,
    N_SETS = 1500,
    N_PATHS_MAX = 6,
};

/* The same sequence in every run. */
static uint32_t draw(uint64_t *seed, uint32_t below)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % below;
}

/* Puts a text together from pieces that lie near every rule: mostly canonical, often just not. */
static void draw_text(uint64_t *seed, char *out)
{
    static const char *const pieces[] = {
        "a",
        "b",
        "ab",
        "-",
        "/",
        "/",
        "/",
        "/",
        ".",
        " ",
        "*",
        "$",
        "%24",
        "%2A",
        "%2F",
        "%25",
        "%00",
        "%1F",
        "%7F",
        "%2a",
        "%41",
        "%",
        "%2",
        "\x01",
        "\n",
        "\x7f",
        "\x1f",
        "\xc3\xa9",
        "\xf0\x9f\x94\x92",
        "\\",
        "'",
        "\"",
        "1",
        "2",
        "{",
        ",",
        "~",
        "%20",
        "%FF",
    };
    static const char *const roots[] = {"$definitions", "$instance", "$key", "$other", "*"};
    out[0] = '\0';
    if (draw(seed, 4) == 0)
        strcat(out, roots[draw(seed, sizeof roots / sizeof roots[0])]);
    if (draw(seed, 20) == 0) {
        size_t n_bytes = 250 + draw(seed, 8), at = strlen(out);
        memset(out + at, 'x', n_bytes);
        out[at + n_bytes] = '\0';
    }
    uint32_t harmless = draw(seed, 2);
    for (uint32_t n = draw(seed, 12); n > 0; n--)
        strcat(out, pieces[draw(seed, harmless ? 10 : sizeof pieces / sizeof pieces[0])]);
    if (draw(seed, 30) == 0)
        for (uint32_t n = 253 + draw(seed, 4); n > 0; n--)
            strcat(out, "%7F");
}

/* Draws until C finds the text canonical. */
static struct lock_path *draw_path(uint64_t *seed, char *text)
{
    struct lock_path *path = NULL;
    struct fault ignored;
    do
        draw_text(seed, text);
    while (!lock_path_parse(text, &path, &ignored));
    return path;
}

static PGresult *ask(PGconn *conn, const char *sql, int n_params, const char *const *params)
{
    PGresult *result = PQexecParams(conn, sql, n_params, NULL, params, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s", PQerrorMessage(conn));
    return result;
}

static void c_and_sql_accept_the_same_texts_and_give_them_the_same_keys(void **state)
{
    struct lock_sql_database *database = *state;
    static const char sql[] = "SELECT latchkey.lock_path_fault($1), latchkey.lock_key($1)";
    uint64_t seed = 1;
    int n_good = 0;
    for (int i = 0; i < N_TEXTS; i++) {
        char text[TEXT_BYTES];
        struct lock_path *path = NULL;
        struct fault fault;
        draw_text(&seed, text);
        bool good = lock_path_parse(text, &path, &fault);
        PGresult *result = ask(database->one, sql, 1, (const char *const[]){text});
        if (good != PQgetisnull(result, 0, 0))
            fail_msg("\"%s\": C says %s, SQL says %s", text, good ? "good" : fault.text,
                     PQgetvalue(result, 0, 0));
        assert_int_equal(lock_key("latchkey", text, strlen(text)),
                         strtoll(PQgetvalue(result, 0, 1), NULL, 10));
        PQclear(result);
        lock_path_free(path);
        n_good += good;
    }
    assert_in_range(n_good, N_TEXTS / 10, N_TEXTS * 9 / 10);
}

static void c_and_sql_take_the_same_locks_in_the_same_order(void **state)
{
    struct lock_sql_database *database = *state;
    static const char sql[] = "SELECT key, exclusive, path FROM latchkey.lock_entries(array_remove("
                              "ARRAY[$1, $2, $3, $4, $5, $6]::text[], NULL)) ORDER BY place";
    uint64_t seed = 2;
    for (int i = 0; i < N_SETS; i++) {
        char texts[N_PATHS_MAX][TEXT_BYTES];
        const char *params[N_PATHS_MAX] = {0};
        struct lock_path *paths[N_PATHS_MAX];
        struct lock_set *set = NULL;
        struct fault fault;
        int n_paths = 1 + (int)draw(&seed, N_PATHS_MAX);
        for (int j = 0; j < n_paths; j++) {
            paths[j] = draw_path(&seed, texts[j]);
            params[j] = texts[j];
        }
        assert_true(lock_set_new(paths, n_paths, "latchkey", &set, &fault));
        PGresult *result = ask(database->one, sql, N_PATHS_MAX, params);
        assert_int_equal(lock_set_n_entries(set), PQntuples(result));
        for (int j = 0; j < PQntuples(result); j++) {
            const struct lock_entry *entry = lock_set_entry(set, j);
            assert_string_equal(entry->text, PQgetvalue(result, j, 2));
            assert_int_equal(entry->key, strtoll(PQgetvalue(result, j, 0), NULL, 10));
            assert_string_equal(entry->exclusive ? "t" : "f", PQgetvalue(result, j, 1));
        }
        PQclear(result);
        lock_set_free(set);
        for (int j = 0; j < n_paths; j++)
            lock_path_free(paths[j]);
    }
}

static void the_schema_is_the_name_space(void **state)
{
    struct lock_sql_database *database = *state;
    static const char schema[] = "Odd \"n\xc3\xa4me's";
    lock_sql_database_load(database->one, schema);
    assert_int_equal(
        fixture_int(database->one, "SELECT \"Odd \"\"n\xc3\xa4me's\".lock_key('message/42')"),
        lock_key(schema, "message/42", 10));
    assert_int_not_equal(lock_key(schema, "message/42", 10),
                         lock_key("latchkey", "message/42", 10));
    fixture_exec(database->one, "DROP SCHEMA \"Odd \"\"n\xc3\xa4me's\" CASCADE");
}

static void lock_takes_prefixes_shared_and_the_path_exclusively(void **state)
{
    struct lock_sql_database *database = *state;
    char held[256];
    fixture_exec(database->one, "BEGIN");
    fixture_exec(database->one, "SELECT latchkey.lock('message/42')");
    fixture_text(database->one,
                 "SELECT string_agg(e.path || ' ' || l.mode, ', ' ORDER BY e.place)"
                 " FROM pg_locks l JOIN latchkey.lock_entries(ARRAY['message/42']) e"
                 " ON (l.classid::bigint << 32) | l.objid::bigint = e.key AND l.objsubid = 1"
                 " WHERE l.pid = pg_backend_pid() AND l.locktype = 'advisory' AND l.granted",
                 held, sizeof held);
    assert_string_equal(held, "* ShareLock, message ShareLock, message/42 ExclusiveLock");
    assert_int_equal(
        fixture_int(database->one, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), 3);
    fixture_exec(database->one, "COMMIT");
    assert_int_equal(
        fixture_int(database->one, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), 0);
}

static void assert_fails(PGconn *conn, const char *sql, const char *expected)
{
    char sqlstate[6];
    fixture_exec_fails(conn, sql, sqlstate);
    if (strcmp(sqlstate, expected) != 0)
        fail_msg("%s: %s", sql, sqlstate);
    if (PQtransactionStatus(conn) != PQTRANS_IDLE)
        fixture_exec(conn, "ROLLBACK");
}

static void lock_refuses_what_is_no_canonical_path(void **state)
{
    struct lock_sql_database *database = *state;
    static const char *const bad[] = {
        "SELECT latchkey.lock('')",
        "SELECT latchkey.lock('message/')",
        "SELECT latchkey.lock('message/4%41')",
        "SELECT latchkey.lock('message/%2f')",
        "SELECT latchkey.lock('$other/1')",
        "SELECT latchkey.lock(E'message/\\n')",
        "SELECT latchkey.lock('1/2/3/4/5/6/7/8/9')",
        "SELECT latchkey.lock(repeat('x', 256))",
        "SELECT latchkey.lock(NULL::text)",
        "SELECT latchkey.lock(NULL::text[])",
        "SELECT latchkey.lock(ARRAY['message/1', NULL])",
        "SELECT latchkey.lock('{}'::text[])",
        "SELECT latchkey.lock(ARRAY(SELECT 'm/' || n FROM generate_series(1, 33) AS n))",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_fails(database->one, bad[i], "22023");
    fixture_exec(database->one, "SELECT latchkey.lock('1/2/3/4/5/6/7/8')");
    fixture_exec(database->one, "SELECT latchkey.lock(repeat('%2F', 255))");
    fixture_exec(database->one,
                 "SELECT latchkey.lock(ARRAY(SELECT 'm/' || n FROM generate_series(1, 32) AS n)"
                 " || '{$instance/1,$key/w/k,$definitions}'::text[])");
}

static void lock_refuses_a_snapshot_that_is_older_than_the_grant(void **state)
{
    struct lock_sql_database *database = *state;
    static const char *const refused[] = {"REPEATABLE READ", "SERIALIZABLE"};
    for (int i = 0; i < 2; i++) {
        fixture_execf(database->one, "BEGIN ISOLATION LEVEL %s", refused[i]);
        assert_fails(database->one, "SELECT latchkey.lock('message/42')", "25001");
        fixture_execf(database->one, "SET default_transaction_isolation = '%s'", refused[i]);
        assert_fails(database->one, "SELECT latchkey.lock(ARRAY['message/42'])", "25001");
    }
    fixture_exec(database->one, "BEGIN ISOLATION LEVEL READ COMMITTED");
    fixture_exec(database->one, "SELECT latchkey.lock('message/42')");
    fixture_exec(database->one, "COMMIT");
}

/* Every function and operator that the migration could be made to call by mistake. */
static void a_search_path_cannot_change_what_is_locked(void **state)
{
    struct lock_sql_database *database = *state;
    PGconn *conn = database->one;
    fixture_exec(conn, "CREATE SCHEMA evil");
    fixture_exec(
        conn,
        "DO $do$ DECLARE f record; BEGIN"
        " FOR f IN SELECT DISTINCT p.proname, pg_get_function_identity_arguments(p.oid) AS args,"
        "   p.prorettype::regtype AS result FROM pg_proc p WHERE p.pronamespace ="
        "   'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset AND p.proname IN"
        "   ('sha256', 'convert_to', 'encode', 'decode', 'left', 'string_to_array', 'starts_with',"
        "    'octet_length', 'cardinality', 'format', 'regexp_replace', 'overlay', 'replace', "
        "'chr',"
        "    'array_to_string', 'current_setting', 'set_config', 'clock_timestamp', 'ceil',"
        "    'date_part', 'make_interval', 'array_position', 'array_append', 'array_fill',"
        "    'pg_advisory_xact_lock', 'pg_advisory_xact_lock_shared', 'upper',"
        "    'pg_try_advisory_xact_lock', 'pg_try_advisory_xact_lock_shared')"
        "   AND pg_get_function_identity_arguments(p.oid) !~ 'VARIADIC|any'"
        " LOOP EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS"
        "   $f$ BEGIN RAISE EXCEPTION ''evil''; END $f$', f.proname, f.args, f.result);"
        " END LOOP; END $do$");
    fixture_exec(
        conn,
        "DO $do$ DECLARE o record; BEGIN"
        " FOR o IN SELECT oid, oprname, oprleft::regtype AS a, oprright::regtype AS b,"
        "   oprresult::regtype AS result FROM pg_operator WHERE oprname IN"
        "   ('=', '<>', '<', '<=', '>', '>=', '||', '+', '-', '*', '/', '~', '!~')"
        "   AND oprleft IN ('text'::regtype, 'bigint'::regtype, 'integer'::regtype,"
        "     'bytea'::regtype, 'timestamptz'::regtype, 'double precision'::regtype)"
        "   AND oprright IN (oprleft, 'interval'::regtype)"
        " LOOP EXECUTE format('CREATE FUNCTION evil.no%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS"
        "   $f$ BEGIN RAISE ''evil''; END $f$; CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = "
        "%s,"
        "   FUNCTION = evil.no%s)', o.oid, o.a, o.b, o.result, o.oprname, o.a, o.b, o.oid);"
        " END LOOP; END $do$");
    fixture_exec(conn, "SET search_path = evil, pg_catalog");
    char sqlstate[6];
    fixture_exec_fails(conn, "SELECT 'a'::text || 'b'::text", sqlstate);
    fixture_exec(conn, "BEGIN");
    fixture_exec(conn, "SELECT latchkey.lock('{message/42,b,$key/w/%2F}'::text[])");
    fixture_exec(conn, "SELECT latchkey.try_locks('{2,1}', '{1,2,3}', '{f,t,t}')");
    fixture_exec(conn, "SELECT latchkey.wait_locks('{1,2,3}', '{f,t,t}', 100)");
    fixture_exec(conn, "SELECT latchkey.expect(1, 1, 'one')");
    fixture_exec(conn, "SELECT latchkey.still_in_time('infinity')");
    fixture_exec(conn, "COMMIT");
    fixture_exec_fails(conn, "SELECT latchkey.lock('%41')", sqlstate);
    assert_string_equal(sqlstate, "22023");
    assert_int_equal(fixture_int(conn, "SELECT latchkey.lock_key('message/42')"),
                     lock_key("latchkey", "message/42", 10));
    fixture_exec(conn, "RESET search_path");
    fixture_exec(conn, "DROP SCHEMA evil CASCADE");
}

static void an_expectation_that_is_not_met_is_an_error(void **state)
{
    struct lock_sql_database *database = *state;
    fixture_exec(database->one, "SELECT latchkey.expect(count(*), 3, 'three rows')"
                                " FROM generate_series(1, 3)");
    assert_fails(database->one, "SELECT latchkey.expect(2, 3, 'three rows')", "LK001");
    assert_fails(database->one, "SELECT latchkey.expect(NULL, 3, 'three rows')", "LK001");
    assert_fails(database->one, "SELECT latchkey.expect(3, NULL, 'three rows')", "LK001");
    assert_fails(database->one, "SELECT latchkey.expect(NULL, NULL, NULL)", "LK001");

    PGresult *result = PQexec(database->one, "SELECT latchkey.expect(2, 3, 'three rows')");
    assert_string_equal(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY), "three rows");
    assert_string_equal(PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL), "expected 3, found 2");
    PQclear(result);
}

static void a_deadline_that_has_passed_is_an_error(void **state)
{
    struct lock_sql_database *database = *state;
    fixture_exec(database->one, "SELECT latchkey.still_in_time(clock_timestamp() + '1 minute')");
    assert_fails(database->one, "SELECT latchkey.still_in_time(NULL)", "LK002");
    /* The time is the clock's, and not that of the transaction. */
    fixture_exec(database->one, "BEGIN");
    fixture_exec(database->one, "SELECT latchkey.still_in_time(now() + '50 ms')");
    fixture_exec(database->one, "SELECT pg_sleep(0.06)");
    assert_fails(database->one, "SELECT latchkey.still_in_time(now() + '50 ms')", "LK002");
}

static void every_statement_of_the_layer_can_be_prepared(void **state)
{
    struct lock_sql_database *database = *state;
    for (const struct sql_text *statement = locks_statements; statement->name; statement++) {
        char *sql = lock_sql_database_text(database->one, statement->text, "latchkey");
        PGresult *result = PQprepare(database->one, statement->name, sql, 0, NULL);
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            fail_msg("%s: %s", statement->name, PQerrorMessage(database->one));
        PQclear(result);
        free(sql);
    }
}

int lock_sql_tests(void)
{
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, lock_sql_database_connect, lock_sql_database_disconnect)
    const struct CMUnitTest tests[] = {
        TEST(c_and_sql_accept_the_same_texts_and_give_them_the_same_keys),
        TEST(c_and_sql_take_the_same_locks_in_the_same_order),
        TEST(the_schema_is_the_name_space),
        TEST(lock_takes_prefixes_shared_and_the_path_exclusively),
        TEST(lock_refuses_what_is_no_canonical_path),
        TEST(lock_refuses_a_snapshot_that_is_older_than_the_grant),
        TEST(a_search_path_cannot_change_what_is_locked),
        TEST(an_expectation_that_is_not_met_is_an_error),
        TEST(a_deadline_that_has_passed_is_an_error),
        TEST(every_statement_of_the_layer_can_be_prepared),
    };
#undef TEST
    return cmocka_run_group_tests_name("lock_sql", tests, lock_sql_database_create,
                                       lock_sql_database_drop);
}
