/* Which texts a script may send, and what cannot be told from a text. */
#include "runtime_tests.h"
#include "script_desk.h"
#include "sql_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const allowed[] = {
    "SELECT 1",
    "select 1;",
    " ( (select 1) union all (select 2) ) ; ; -- end",
    "/* a /* b */ */ -- c\n values (1)",
    "WITH x AS (INSERT INTO item (id) VALUES (9) RETURNING id) SELECT * FROM x",
    "MERGE INTO item USING line ON false WHEN NOT MATCHED THEN DO NOTHING",
    "INSERT INTO item SELECT 5",
    "WITH x AS (SELECT 1 AS n) INSERT INTO item (id) SELECT n FROM x",
    "WITH x AS (SELECT 1 AS n) MERGE INTO item USING x ON false WHEN NOT MATCHED THEN DO NOTHING",
    "SELECT setval FROM item",
    "DELETE FROM item WHERE t = 'set_config(1)'",
    "UPDATE item SET t = '; SET x' WHERE id = 1",
    "SELECT ';', $$;$$, $a$; $$ ;$a$, \";\", E'\\';' -- ; \n",
    "SELECT set_config, \"set_config\" FROM item",
    "SELECT $1::text || $2",
    "SELECT a$b$c FROM item",
    "SELECT latchkey FROM item",
    "SELECT 'latchkey.lock', pg_sleep(0), current_setting('role'), pg_advisory",
    "SELECT e'x', b'1', x'ff', n'x', U&'d\\0061t'",
    "SELECT E'a'\n'b\\'' -- one string\n, 1",
    "SELECT \"into\" FROM item",
    "SELECT 1--2\n",
    "SELECT 2 /**/ - 1, 1e5, .5, 1::int, a[1:2], \"a\"\"b\"",
};

static const struct {
    const char *text, *words;
} refused[] = {
    {"", "no statement"},
    {" -- SELECT 1", "no statement"},
    {"/* SELECT 1", "no statement"},
    {"/* /* */ SELECT 1", "no statement"},
    {"SELECT 'x", "has no end"},
    {"SELECT \"x", "has no end"},
    {"SELECT $a$ x $$", "has no end"},
    {"SELECT E'x\\'", "has no end"},
    {"SELECT 1 /* x", "has no end"},

    {"SET x = 1", "SET is not allowed"},
    {"\"select\" 1", "is not allowed"},
    {"U&\"select\" 1", "is not allowed"},
    {"'select' 1", "is not allowed"},
    {"select1", "is not allowed"},
    {"\xc2\xa0SELECT 1", "is not allowed"},
    {"-- x\rCOMMIT", "COMMIT is not allowed"},
    {"/* -- */ /* */ ROLLBACK", "ROLLBACK is not allowed"},
    {"((BEGIN))", "BEGIN is not allowed"},
    {"EXPLAIN ANALYZE DELETE FROM item", "EXPLAIN is not allowed"},
    {"TABLE item", "TABLE is not allowed"},
    {"END", "END is not allowed"},
    {"ABORT", "ABORT is not allowed"},

    {"SELECT 1; COMMIT", "only one statement"},
    {"SELECT ';' ; SELECT 1", "only one statement"},
    {"SELECT 1;; SELECT 2", "only one statement"},
    {"SELECT 1; /* */ -- \n x", "only one statement"},
    {"SELECT E'a'\n'\\'; COMMIT --'", NULL}, /* all of it is one string */
    {"SELECT 'a\\'; COMMIT --'", "only one statement"},
    {"SELECT $$a$$; COMMIT", "only one statement"},
    {"SELECT a$$; COMMIT; $$", "only one statement"},

    {"SELECT 1 INTO copy", "SELECT INTO"},
    {"SELECT 1 AS insert INTO copy", "SELECT INTO"},
    {"SELECT (1) insert INTO copy", "SELECT INTO"},
    {"SELECT 1 AS merge INTO copy", "SELECT INTO"},
    {"(SELECT (SELECT 2) AS insert INTO copy)", "SELECT INTO"},
    {"WITH x AS (INSERT INTO item (id) VALUES (9) RETURNING id) SELECT id insert INTO copy FROM x",
     "SELECT INTO"},
    {"SELECT * INTO TEMP copy FROM item", "SELECT INTO"},
    {"WITH x AS (SELECT 1) SELECT * /**/ InTo copy FROM x", "SELECT INTO"},

    {"SELECT setval('latchkey.lease_token', 1)", "setval"},
    {"SELECT * FROM crosstab('SELECT 1, 2, 3') AS t(a int, b int)", "crosstab"},
    {"SELECT set_config('role', 'x', true)", "set_config"},
    {"SELECT pg_catalog . SET_CONFIG /* x */ -- y\n ('a', 'b', true)", "set_config"},
    {"SELECT \"set_config\"('a', 'b', true)", "set_config"},
    {"SELECT U&\"s\\0065t_config\"('a', 'b', true)", "U&"},
    {"SELECT 1set_config('a', 'b', true)", "set_config"},
    {"SELECT $1set_config('a', 'b', true)", "set_config"},
    {"SELECT 'x' || E'\\'' || set_config('a', 'b', true) || ''", "set_config"},
    {"SELECT E'a'\n'b\\'', set_config('a', 'b', true)", "set_config"},
    {"SELECT (SELECT set_config('a', 'b', true))", "set_config"},
    {"UPDATE pg_settings SET setting = 'off'", "pg_settings"},
    {"UPDATE pg_catalog.\"pg_settings\" SET setting = 'off'", "pg_settings"},
    {"SELECT pg_advisory_unlock_all()", "pg_advisory_unlock_all"},
    {"SELECT pg_advisory_xact_lock(1)", "pg_advisory_xact_lock"},
    {"SELECT pg_try_advisory_lock(1)", "pg_try_advisory_lock"},
    {"SELECT * FROM dblink_exec('x', 'DROP TABLE item')", "dblink_exec"},
    {"SELECT pg_terminate_backend(pid) FROM pg_stat_activity", "pg_terminate_backend"},
    {"SELECT pg_read_file('/etc/passwd')", "pg_read_file"},
    {"SELECT lo_export(1, '/tmp/x')", "lo_export"},
    {"SELECT query_to_xml('SELECT set_config(1)', true, true, '')", "query_to_xml"},
    {"SELECT ts_stat('SELECT 1')", "ts_stat"},
    {"SELECT latchkey.lock('x')", "latchkey"},
    {"DELETE FROM \"latchkey\" . \"instance\"", "latchkey"},
    {"SELECT * FROM LatchKey.execution", "latchkey"},
};

static void what_is_of_the_allowed_kinds_passes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        struct fault fault = {0};
        if (!sql_check(allowed[i], strlen(allowed[i]), "latchkey", &fault))
            fail_msg("%s: %s", allowed[i], fault.text);
    }
}

static void everything_else_is_refused_with_its_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct fault fault = {0};
        bool ok = sql_check(refused[i].text, strlen(refused[i].text), "latchkey", &fault);
        if (ok != !refused[i].words)
            fail_msg("%s: %s", refused[i].text, ok ? "passes" : fault.text);
        if (!ok && !strstr(fault.text, refused[i].words))
            fail_msg("%s: %s", refused[i].text, fault.text);
        if (!ok)
            assert_int_equal(fault.kind, FAULT_SCRIPT);
    }
    struct fault fault;
    assert_false(sql_check("SELECT 1\0; COMMIT", 17, "latchkey", &fault));
    assert_true(sql_check("SELECT latchkey.f()", 19, "other", &fault));
    assert_false(sql_check("SELECT other.f()", 16, "other", &fault));
}

/* The check and the server must see the same strings: PostgreSQL reads each of these. */
static void the_server_reads_the_texts_alike(void **state)
{
    static const char *const texts[] = {
        "SELECT ';', $$;$$, $a$; $$ ;$a$, E'\\';' -- ; \n",
        "SELECT E'a'\n'b\\'' -- one string\n, 1",
        "SELECT E'a'\n'\\'; COMMIT --'",
        "/* a /* b */ */ -- c\n values (1)",
        "SELECT e'x', b'1', x'ff', n'x', U&'d\\0061t'",
    };
    struct runtime_fixture *fixture = *state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct fault fault = {0};
        assert_true(sql_check(texts[i], strlen(texts[i]), "latchkey", &fault));
        PGresult *result = PQexecParams(fixture->sql, texts[i], 0, NULL, NULL, NULL, NULL, 0);
        assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
        PQclear(result);
    }
}

/* Backslashes are plain in strings, whatever the server's default: the check reads them so. */
static void strings_are_standard_also_where_the_server_says_otherwise(void **state)
{
    runtime_fixture_tables(*state, SCRIPT_DESK_TABLES);
    fixture_exec(((struct runtime_fixture *)*state)->sql,
                 "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET standard_conforming_strings ="
                 " off', current_database()); END $$");
    struct host *host = host_start(*state, NULL);
    struct outcome outcome = script_desk_run(
        host, "sql([[SELECT app_set('standard_conforming_strings', 'off', true)]])\n"
              "output.t = sql([[SELECT '\\' AS t, '; SELECT 1 --' AS u]])[1].t");
    fixture_exec(((struct runtime_fixture *)*state)->sql,
                 "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET standard_conforming_strings',"
                 " current_database()); END $$");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "{\"t\":\"\\\\\"}");
    host_stop(host);
}

/* ---- what the application's own functions may have done ---- */

/* The locks of an execution are the transaction's: what ends session locks leaves them. */
static void a_function_cannot_give_the_locks_back(void **state)
{
    script_desk_gives(
        state,
        "local held = [[SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'"
        " AND pid = pg_backend_pid()]]\n"
        "local before = sql(held)[1].n\n"
        "sql('SELECT app_unlock()')\n"
        "output = {before > 0, before == sql(held)[1].n}",
        "[true,true]");
    assert_nothing_held(*state);
}

static void a_role_taken_by_a_function_is_left_again(void **state)
{
    struct runtime_fixture *fixture = *state;
    runtime_fixture_tables(fixture, SCRIPT_DESK_TABLES);
    fixture_exec(fixture->sql, "DO $$ BEGIN IF to_regrole('lk_raw_other') IS NULL THEN"
                               " CREATE ROLE lk_raw_other; END IF; END $$;"
                               "GRANT lk_raw_other TO CURRENT_USER");
    struct host *host = host_start(fixture, NULL);
    struct outcome outcome = script_desk_run(
        host, "local function me() return sql('SELECT current_user AS u')[1].u end\n"
              "local before = me()\n"
              "local r = sql([[SELECT app_set('role', 'lk_raw_other', true)]])\n"
              "output = {me() == before}\n"
              "sql([[SELECT app_set('role', 'lk_raw_other', false)]])\n"
              "data.i.n = 3");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "[true]");
    outcome =
        script_desk_run(host, "output.u = sql('SELECT current_user = session_user AS u')[1].u");
    assert_string_equal(outcome.output, "{\"u\":true}");
    host_stop(host);
    assert_sql_int(fixture, "SELECT n FROM item WHERE id = 1", 3);
    fixture_exec(fixture->sql, "DROP ROLE lk_raw_other");
}

/* Settings that would let it hold the lock for ever. */
static void a_function_cannot_lengthen_the_time(void **state)
{
    struct host *host = script_desk_start(state);
    struct outcome outcome = script_desk_run(
        host, "sql([[SELECT app_set('statement_timeout', '0', true), app_set('lock_timeout', '0',"
              " true), app_set('idle_in_transaction_session_timeout', '0', true),"
              " app_set('application_name', 'x', true), pg_sleep(60)]])");
    assert_outcome(&outcome, STATUS_EXPIRED, "waiting timeout");
    assert_in_range(outcome.held_us, 4900000, 30 * 1000 * 1000);
    assert_nothing_held(*state);
    host_stop(host);
}

static void after_an_sql_error_nothing_goes_on(void **state)
{
    static const char *const errors[] = {
        "SELECT 1 / 0",
        "INSERT INTO item (id) VALUES (1)",
        "SELECT no_such_column",
        "SELECT app_set('no_such_setting', 'x', true)",
    };
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        char script[512];
        snprintf(script, sizeof script,
                 "data.i.n = 5\nfor i = 1, 3 do pcall(sql, [[%s]]) end\ndata.i.n = 6\n"
                 "pcall(sql, 'SELECT 1')",
                 errors[i]);
        script_desk_fails(state, script, i == 2 ? STATUS_INVALID : STATUS_FAILED, "");
    }
}

int sql_check_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_of_the_allowed_kinds_passes),
        cmocka_unit_test(everything_else_is_refused_with_its_reason),
        cmocka_unit_test(the_server_reads_the_texts_alike),
        cmocka_unit_test(strings_are_standard_also_where_the_server_says_otherwise),
        cmocka_unit_test(a_function_cannot_give_the_locks_back),
        cmocka_unit_test(a_role_taken_by_a_function_is_left_again),
        cmocka_unit_test(a_function_cannot_lengthen_the_time),
        cmocka_unit_test(after_an_sql_error_nothing_goes_on),
    };
    return cmocka_run_group_tests_name("sql_check", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
