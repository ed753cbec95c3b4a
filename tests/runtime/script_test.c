/* What a script may ask of the database while it runs, and what it sees then. */
#include "runtime_tests.h"
#include "script_desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- sql ---- */

static void sql_gives_rows_and_the_affected_count(void **state)
{
    script_desk_gives(
        state,
        "local rows, n = sql('SELECT id, slug, doc FROM item WHERE id < $1 ORDER BY id', 3)\n"
        "local none, changed = sql('UPDATE item SET t = $1', 'x')\n"
        "output = {#rows, n, rows[2].id, rows[2].slug, rows[2].doc == nil, #none, changed}",
        "[2,2,2,\"b\",true,0,3]");
    assert_sql_int(*state, "SELECT count(*) FROM item WHERE t = 'x'", 3);
}

static void sql_gives_values_of_every_kind(void **state)
{
    script_desk_gives(
        state,
        "local r = sql([[SELECT 1::smallint AS a, 2 AS b, 3::bigint AS c, 1.5::real AS d,\n"
        "  0.1::float8 AS e, true AS f, 'x'::text AS g, '{\"k\": [1]}'::jsonb AS h, 12.50 AS i,\n"
        "  '2026-01-02 03:04:05'::timestamp AS j, '{1,2}'::int[] AS k, NULL AS l,\n"
        "  123456789012345678901234567890 AS m, '2026-01-02'::date AS o]])[1]\n"
        "assert(math.type(r.a) == 'integer' and math.type(r.e) == 'float')\n"
        "output = {r.a, r.b, r.c, r.d, r.e, r.f, r.g, r.h.k[1], r.i, r.j, r.k, r.l == nil,"
        " r.m, r.o}",
        "[1,2,3,1.5,0.1,true,\"x\",1,12.5,\"2026-01-02T03:04:05\",\"{1,2}\",true,"
        "\"123456789012345678901234567890\",\"2026-01-02\"]");
}

static void sql_takes_parameters(void **state)
{
    script_desk_gives(
        state,
        "local r = sql('SELECT $1::int AS a, $2::text AS b, $3::bool AS c, $4::float8 AS d,"
        " $5::text IS NULL AS e', 42, \"it's; -- \\\"x\\\"\", true, 0.1, nil)[1]\n"
        "output = {r.a, r.b, r.c, r.d, r.e}",
        "[42,\"it's; -- \\\"x\\\"\",true,0.1,true]");
}

static void sql_sees_what_was_assigned_before(void **state)
{
    script_desk_gives(state,
                      "data.i.n = 7\n"
                      "local first = sql('SELECT n FROM item WHERE id = 1')[1].n\n"
                      "data.i.n = 8\n"
                      "output = {first, sql('SELECT n FROM item WHERE id = 1')[1].n}",
                      "[7,8]");
    assert_sql_int(*state, "SELECT n FROM item WHERE id = 1", 8);
}

static void data_is_loaded_anew_after_sql(void **state)
{
    script_desk_gives(state,
                      "local i = data.i\n"
                      "sql('UPDATE item SET n = n + 10 WHERE id = 1')\n"
                      "local a = i.n\n"
                      "i.n = i.n + 1\n"
                      "sql('UPDATE item SET n = n + 10 WHERE id = 1')\n"
                      "output = {a, data.i.n}",
                      "[10,21]");
    assert_sql_int(*state, "SELECT n FROM item WHERE id = 1", 21);
}

static void a_row_that_sql_deleted_is_gone(void **state)
{
    script_desk_gives(state,
                      "local i = data.i\n"
                      "sql('DELETE FROM item WHERE id = 1')\n"
                      "local ok, why = pcall(function() return i.n end)\n"
                      "output = {ok, (string.find(why, 'gone')) ~= nil, data.i == nil}",
                      "[false,true,true]");
}

static void a_row_whose_key_sql_changed_is_gone(void **state)
{
    script_desk_gives(state,
                      "sql('UPDATE item SET id = 9 WHERE id = 1')\n"
                      "output = {data.i == nil}",
                      "[true]");
}

static void a_row_whose_key_the_script_changed_stays_itself(void **state)
{
    script_desk_gives(state,
                      "local i = data.i\n"
                      "i.id = 9\n"
                      "sql('UPDATE item SET n = n + 10 WHERE id = 9')\n"
                      "i.n = i.n + 1\n"
                      "output = {i.n, i.id}",
                      "[11,9]");
    assert_sql_int(*state, "SELECT n FROM item WHERE id = 9", 11);
}

static void after_an_sql_error_the_execution_is_over(void **state)
{
    script_desk_fails(state, "data.i.n = 1\nlocal ok = pcall(sql, 'SELECT 1 / 0')\ndata.i.n = 2",
                      STATUS_FAILED, "division by zero");
    script_desk_fails(state, "data.i.n = 1\npcall(sql, 'UPDATE item SET n = NULL')", STATUS_FAILED,
                      "null value in column");
}

static void an_sql_error_is_told_with_its_line(void **state)
{
    script_desk_fails(state, "data.i.n = 1\n\nsql('SELECT 1 / 0')", STATUS_FAILED,
                      "test.yaml:24: ");
    script_desk_fails(state, "objects.new('item', {id = 1})", STATUS_FAILED, "test.yaml:22: ");
    script_desk_fails(state, "sql('SELECT * FROM nowhere')", STATUS_INVALID, "test.yaml:22: ");
}

static void only_queries_and_changes_of_rows_are_allowed(void **state)
{
    static const char *const refused[] = {
        "SET statement_timeout = 0",
        "RESET ALL",
        "BEGIN",
        "COMMIT",
        "rollback",
        "SAVEPOINT x",
        "COPY item TO STDOUT",
        "DO $$ BEGIN END $$",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "CALL p()",
        "LOCK TABLE item",
        "TRUNCATE item",
        "CREATE TABLE x ()",
        "DROP TABLE item",
        "ALTER TABLE item ADD x int",
        "GRANT ALL ON item TO public",
        "EXPLAIN SELECT 1",
        "LISTEN x",
        "NOTIFY x",
        "DISCARD ALL",
        "/* SELECT */ SET x.y = 1",
        "-- SELECT\\nBEGIN",
        "((SET x.y = 1))",
        "",
        "  ",
        ";SELECT 1",
        "/* SELECT 1",
        "SELECTED",
        "VACUUM",
    };
    struct host *host = script_desk_start(state);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char script[256];
        snprintf(script, sizeof script,
                 "local ok, why = pcall(sql, \"%s\")\n"
                 "assert(not ok and string.find(why, 'sql: '))\noutput.n = data.i.n",
                 refused[i]);
        struct outcome outcome = script_desk_run(host, script);
        assert_outcome(&outcome, STATUS_COMPLETED, "");
    }
    host_stop(host);
}

static void every_kind_of_query_is_allowed(void **state)
{
    script_desk_gives(state,
                      "sql('WITH x AS (SELECT 1) SELECT * FROM x')\n"
                      "sql('(SELECT 1) UNION (SELECT 2)')\n"
                      "sql('/* a /* b */ */ -- c\\n values (1)')\n"
                      "sql('INSERT INTO line (item) VALUES ($1) RETURNING id', 2)\n"
                      "sql('delete from line where item = 2')\n"
                      "output.n = #sql('VALUES (1), (2)')",
                      "{\"n\":2}");
}

static void two_statements_are_refused(void **state)
{
    script_desk_fails(state, "sql('SELECT 1; UPDATE item SET n = 9')", STATUS_FAILED,
                      "only one statement");
}

static void bad_parameters_raise(void **state)
{
    script_desk_fails(state, "sql('SELECT $1::text', {})", STATUS_FAILED, "test.yaml:22: ");
    script_desk_fails(state, "sql('SELECT $1::text', 'a\\0b')", STATUS_FAILED, "zero byte");
    script_desk_fails(state, "sql('SELECT $1::text', '\\xff')", STATUS_FAILED, "test.yaml:22: ");
    script_desk_fails(state, "sql('SELECT $1::int', 'x')", STATUS_FAILED, "invalid input syntax");
    script_desk_fails(state, "sql(5)", STATUS_FAILED, "test.yaml:22: ");
}

/* What a script set for its session must be gone for the next that gets the connection. */
static void settings_do_not_survive_the_script(void **state)
{
    runtime_fixture_tables(*state, SCRIPT_DESK_TABLES);
    struct runtime_options options = runtime_fixture_options(*state);
    options.pool_size = 2; /* one for the host, one for everything else */
    options.waiters = 1;
    struct host *host = host_start(*state, &options);
    struct outcome outcome =
        script_desk_run(host, "sql([[SELECT app_set('lock_timeout', '1', false),"
                              " app_set('search_path', 'nowhere', false),"
                              " app_set('datestyle', 'German', false),"
                              " app_set('timezone', 'Asia/Tokyo', false),"
                              " app_set('extra_float_digits', '0', false),"
                              " app_set('default_transaction_isolation', 'serializable', false),"
                              " app_set('default_transaction_read_only', 'on', false),"
                              " app_set('session_replication_role', 'replica', false),"
                              " app_set('app.user', 'me', false), app_lock(42)]])");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_nothing_held(*state);
    outcome = script_desk_run(host, "local r = sql([[SELECT current_setting('search_path') AS a,"
                                    " current_setting('timezone') = 'Asia/Tokyo' AS b,"
                                    " current_setting('extra_float_digits') AS c,"
                                    " current_setting('default_transaction_isolation') AS d,"
                                    " current_setting('session_replication_role') AS e,"
                                    " current_setting('app.user', true) AS f]])[1]\n"
                                    "data.i.n = 1\noutput = {r.a, r.b, r.c, r.d, r.e, r.f or ''}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output,
                        "[\"public\",false,\"1\",\"read committed\",\"origin\",\"\"]");
    host_stop(host);
}

static void limits_are_set_again_after_sql(void **state)
{
    struct host *host = script_desk_start(state);
    struct outcome outcome = script_desk_run(
        host, "sql([[SELECT app_set('statement_timeout', '1', true),"
              " app_set('idle_in_transaction_session_timeout', '1', true),"
              " app_set('synchronous_commit', 'off', true)]])\n"
              "sleep(0.05)\n"
              "sql('SELECT pg_sleep(0.05)')\n"
              "output.s = sql([[SELECT current_setting('synchronous_commit') AS s]])[1].s");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "{\"s\":\"on\"}");
    outcome =
        script_desk_run(host, "sql([[SELECT app_set('statement_timeout', '0', true),"
                              " app_set('idle_in_transaction_session_timeout', '0', true)]])\n"
                              "sql('SELECT pg_sleep(20)')");
    assert_outcome(&outcome, STATUS_EXPIRED, "waiting timeout");
    host_stop(host);
}

static void sql_inside_a_callback_of_the_library_raises(void **state)
{
    script_desk_fails(state, "table.sort({2, 1}, function() sql('SELECT 1') end)", STATUS_FAILED,
                      "test.yaml:22: ");
}

/* ---- values ---- */

static void json_columns_are_changed_in_place(void **state)
{
    runtime_fixture_tables(*state, SCRIPT_DESK_TABLES);
    fixture_exec(((struct runtime_fixture *)*state)->sql,
                 "UPDATE item SET doc = '{\"tags\": [\"a\"], \"k\": {\"x\": 1}}',"
                 " raw = '{\"z\": 1, \"a\": null}' WHERE id = 1");
    struct host *host = host_start(*state, NULL);
    struct outcome outcome = script_desk_run(host, "table.insert(data.i.doc.tags, 'b')\n"
                                                   "data.i.doc.k.y = 2.5\n"
                                                   "data.i.raw.z = {true, 'q'}\n"
                                                   "sql('SELECT 1')\n"
                                                   "data.i.doc.k.x = nil\n"
                                                   "output = data.i.doc");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_text(*state, "SELECT doc::text FROM item WHERE id = 1",
                    "{\"k\": {\"y\": 2.5}, \"tags\": [\"a\", \"b\"]}");
    assert_sql_text(*state, "SELECT raw->>'z' FROM item WHERE id = 1", "[true,\"q\"]");
    host_stop(host);
}

static void json_is_encoded_and_decoded(void **state)
{
    script_desk_gives(state,
                      "output = {json.encode({1, {x = 'y'}}), json.decode('{\"k\": [1, 2]}').k[2]}",
                      "[\"[1,{\\\"x\\\":\\\"y\\\"}]\",2]");
}

/* Every column of one row is copied to another by the script, and must be equal in the database. */
static void values_of_every_type_survive(void **state)
{
    runtime_fixture_tables(
        *state,
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN cents AS bigint CHECK (VALUE >= "
        "0);"
        "CREATE TYPE pair AS (a int, b text);"
        "CREATE TABLE every (id int PRIMARY KEY, a smallint, b bigint, c real, d float8, e boolean,"
        " f text, g varchar(30), h char(8), i uuid, j json, k jsonb, l numeric, m numeric(12,4),"
        " n timestamp, o timestamptz, p date, q time, r timetz, s interval, t bytea, u int[],"
        " v text[], w mood, x cents, y inet, z pair, aa int4range, ab tsvector, ac bit(5),"
        " ad varbit, ae money, af xml, ag point, ah \"char\", ai name, aj oid, ak text[][]);"
        "INSERT INTO every VALUES (1, -32768, 9223372036854775807, 0.1, 1e-300, true,"
        " E'q\"\\\\\\'\\n{},NULL', 'NULL', 'ab', '0191d4c8-0000-7000-8000-000000000001',"
        " '{\"a\":  1.0}', '{\"b\": [1.5, \"\\\\u00e9\"]}', 123456789012345678901234567890.12,"
        " 1.5, '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05.678+02', '2026-02-28',"
        " '23:59:59.999999', '01:02:03+05:30', '1 year 2 days 03:04:05', '\\x00ff', '{1,NULL,3}',"
        " '{\"a,b\",\"NULL\",NULL,\"\"}', 'happy', 5, '10.0.0.1/8', '(1,\"a b\")', '[1,5)',"
        " 'a fat cat', '10101', '1', '$1,234.56', '<a>b</a>', '(1,2)', 'x', 'nm', 42,"
        " '{{a,b},{c,d}}');"
        "INSERT INTO every (id) VALUES (2), (3)");
    static const char yaml[] = "workflow: w\ninput:\n  from: integer\n  to: integer\ndata:\n"
                               "  x:\n    table: every\n    key: { id: input.from }\n"
                               "  y:\n    table: every\n    key: { id: input.to }\n"
                               "start: a\nactivities:\n  a:\n    script: |\n"
                               "      for name, value in pairs(data.x) do\n"
                               "        if name ~= 'id' then data.y[name] = value end\n"
                               "      end\n";
    struct host *host = host_start(*state, NULL);
    struct outcome outcome = host_run(host, yaml, "{\"from\":1,\"to\":2}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_int(*state,
                   "SELECT count(*) FROM jsonb_each_text((SELECT to_jsonb(whole) FROM every whole"
                   " WHERE id = 1)) x JOIN jsonb_each_text((SELECT to_jsonb(whole) FROM every whole"
                   " WHERE id = 2)) y USING (key) WHERE key NOT IN ('id', 'j')"
                   " AND x.value IS DISTINCT FROM y.value",
                   0);
    assert_sql_text(*state,
                    "SELECT concat_ws(' ', c, d, l, o = '2026-01-02 03:04:05.678+02', q, ac)"
                    " FROM every WHERE id = 2",
                    "0.1 1e-300 123456789012345678901234567890.12 t 23:59:59.999999 10101");
    /* nulls as well */
    outcome = host_run(host, yaml, "{\"from\":3,\"to\":2}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_int(*state,
                   "SELECT count(*) FROM jsonb_each_text((SELECT to_jsonb(whole) FROM every whole"
                   " WHERE id = 2)) WHERE value IS NOT NULL",
                   1);
    host_stop(host);
}

/* The server's own defaults may hide digits; the host must see them all. */
static void what_the_server_is_set_to_does_not_change_values(void **state)
{
    static const char reset[] =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET extra_float_digits', "
        "current_database());"
        " EXECUTE format('ALTER DATABASE %I RESET datestyle', current_database());"
        " EXECUTE format('ALTER DATABASE %I RESET intervalstyle', current_database());"
        " EXECUTE format('ALTER DATABASE %I RESET bytea_output', current_database()); END $$";
    struct runtime_fixture *fixture = *state;
    runtime_fixture_tables(
        *state,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET extra_float_digits = -5',"
        " current_database()); EXECUTE format('ALTER DATABASE %I SET datestyle = ''German''',"
        " current_database()); EXECUTE format('ALTER DATABASE %I SET intervalstyle ="
        " ''sql_standard''', current_database()); EXECUTE format('ALTER DATABASE %I SET"
        " bytea_output = ''escape''', current_database()); END $$;"
        "CREATE TABLE item (id int PRIMARY KEY, f float8, ts timestamp, i interval);"
        "INSERT INTO item VALUES (1, 0.1::float8 + 0.2::float8, '2026-02-01 00:00:00',"
        " '1 year -2 days 03:04:05')");
    struct host *host = host_start(*state, NULL);
    struct outcome outcome = host_run(
        host,
        "workflow: w\ndata:\n  i:\n    table: item\n    key: { id: 1 }\nstart: a\nactivities:\n"
        "  a:\n    script: output = {data.i.f == 0.1 + 0.2, data.i.ts, data.i.i}\n",
        "{}");
    fixture_exec(fixture->sql, reset);
    host_stop(host);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output,
                        "[true,\"2026-02-01T00:00:00\",\"1 year -2 days +03:04:05\"]");
}

/* ---- time, words ---- */

static void a_script_may_sleep(void **state)
{
    struct host *host = script_desk_start(state);
    struct outcome outcome =
        script_desk_run(host, "local t = now()\nsleep(0.1)\noutput.slept = now() - t");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_true(outcome.held_us >= 99000);
    host_stop(host);
}

static void a_script_that_sleeps_too_long_expires(void **state)
{
    struct host *host = script_desk_start(state);
    struct outcome outcome =
        host_run(host,
                 "workflow: w\nstart: a\nactivities:\n  a:\n    enable-exclusive-lock: true\n"
                 "    waiting-timeout: 200ms\n    script: sleep(60)\n",
                 "{}");
    assert_outcome(&outcome, STATUS_EXPIRED, "waiting timeout");
    assert_in_range(outcome.held_us, 190000, 20 * 1000 * 1000);
    assert_nothing_held(*state);
    host_stop(host);
}

static void time_and_ids_are_given(void **state)
{
    script_desk_gives(state,
                      "local a, b = uuid(), uuid()\n"
                      "output = {#a, a ~= b, now() > 1.7e9, string.sub(a, 15, 15)}",
                      "[36,true,true,\"7\"]");
}

static void log_lines_have_their_level(void **state)
{
    struct host *host = script_desk_start(state);
    struct outcome outcome =
        script_desk_run(host, "log.info('one')\nlog.warn('two\\nlines')\n"
                              "log.error(3)\nsql('SELECT 1')\nlog.info('last')\n"
                              "error('no')");
    assert_outcome(&outcome, STATUS_FAILED, "no");
    const char *log = host_log(host);
    assert_non_null(strstr(log, "info script: one workflow=w activity=go instance="));
    assert_non_null(strstr(log, "warning script: two\\nlines workflow="));
    assert_non_null(strstr(log, "error script: 3 workflow="));
    assert_non_null(strstr(log, "info script: last workflow="));
    host_stop(host);
}

static void log_lines_before_a_refused_request_are_written(void **state)
{
    struct host *host = script_desk_start(state);
    struct outcome outcome =
        script_desk_run(host, "log.info('one')\nobjects.load('item', {n = 1})");
    assert_outcome(&outcome, STATUS_INVALID, "no unique index");
    assert_non_null(strstr(host_log(host), "info script: one workflow=w activity=go instance="));
    outcome = script_desk_run(host, "log.info('two')\nsql('SELECT 1 / 0')");
    assert_outcome(&outcome, STATUS_FAILED, "division");
    assert_non_null(strstr(host_log(host), "info script: two workflow="));
    host_stop(host);
}

int script_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sql_gives_rows_and_the_affected_count),
        cmocka_unit_test(sql_gives_values_of_every_kind),
        cmocka_unit_test(sql_takes_parameters),
        cmocka_unit_test(sql_sees_what_was_assigned_before),
        cmocka_unit_test(data_is_loaded_anew_after_sql),
        cmocka_unit_test(a_row_that_sql_deleted_is_gone),
        cmocka_unit_test(a_row_whose_key_sql_changed_is_gone),
        cmocka_unit_test(a_row_whose_key_the_script_changed_stays_itself),
        cmocka_unit_test(after_an_sql_error_the_execution_is_over),
        cmocka_unit_test(an_sql_error_is_told_with_its_line),
        cmocka_unit_test(only_queries_and_changes_of_rows_are_allowed),
        cmocka_unit_test(every_kind_of_query_is_allowed),
        cmocka_unit_test(two_statements_are_refused),
        cmocka_unit_test(bad_parameters_raise),
        cmocka_unit_test(settings_do_not_survive_the_script),
        cmocka_unit_test(limits_are_set_again_after_sql),
        cmocka_unit_test(sql_inside_a_callback_of_the_library_raises),
        cmocka_unit_test(json_columns_are_changed_in_place),
        cmocka_unit_test(json_is_encoded_and_decoded),
        cmocka_unit_test(values_of_every_type_survive),
        cmocka_unit_test(what_the_server_is_set_to_does_not_change_values),
        cmocka_unit_test(a_script_may_sleep),
        cmocka_unit_test(a_script_that_sleeps_too_long_expires),
        cmocka_unit_test(time_and_ids_are_given),
        cmocka_unit_test(log_lines_have_their_level),
        cmocka_unit_test(log_lines_before_a_refused_request_are_written),
    };
    return cmocka_run_group_tests_name("script", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
