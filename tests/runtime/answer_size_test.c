/* What the database may send to a host, and JSON that Lua cannot hold. */
#include "runtime_tests.h"

#include "memory_peak.h"
#include "script_desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    PEAK_KIB = 250 << 10, /* 32 MiB of short rows take several times their size */
};

#if defined(__SANITIZE_ADDRESS__)
static const bool is_measured = false; /* its allocator keeps what was freed */
#else
static const bool is_measured = true;
#endif

/* On a host of its own, with long limits of time. */
static void assert_ends(void **state, const char *script, const char *data, const char *reason)
{
    char yaml[2048];
    struct host *host = host_start(*state, NULL);
    snprintf(yaml, sizeof yaml,
             "workflow: w\n%sstart: go\nactivities:\n  go:\n    enable-exclusive-lock: true\n"
             "    lock-context: '\"x\"'\n    waiting-timeout: 50s\n    script: |\n      %s\n",
             data, script);
    memory_peak_reset();
    int64_t before_kib = memory_peak_kib();
    struct outcome outcome = host_run(host, yaml, "{}");
    int64_t took_kib = memory_peak_kib() - before_kib;
    assert_outcome(&outcome, STATUS_FAILED, reason);
    assert_in_range(outcome.attempts, 0, 1); /* none if its rows could not be loaded */
    if (is_measured && took_kib > PEAK_KIB)
        fail_msg("%s: took %lld MiB", script, (long long)took_kib / 1024);
    assert_nothing_held(*state);
    host_stop(host);
}

static void a_large_answer_ends_the_execution_and_not_the_host(void **state)
{
    runtime_fixture_tables(*state, "SELECT 1");
    static const char said[] = "test.yaml:9: the answer of the database is larger than 32768 KiB";
    assert_ends(state, "sql('SELECT generate_series(1, 100000000)')", "", said);
    assert_ends(state, "sql([[SELECT repeat('x', 1000000), generate_series(1, 1000)]])", "", said);
    assert_ends(state, "sql([[SELECT repeat('x', 300000000)]])", "", said);
    assert_ends(state, "pcall(sql, [[SELECT repeat('x', 40000000)]])", "", "larger than");
    /* within the answer's limit, over the script's */
    assert_ends(state,
                "local t = {} while true do t[#t + 1] = sql([[SELECT repeat('x', 7000000)]])"
                " end",
                "", "used over 16384 KiB");
}

static void a_list_has_ten_thousand_rows_at_most(void **state)
{
    runtime_fixture_tables(*state, "CREATE TABLE many (id int PRIMARY KEY, t text);"
                                   "INSERT INTO many SELECT n, repeat('x', 100)"
                                   " FROM generate_series(1, 600000) n");
    assert_ends(state, "objects.list('many')", "", "more than 10000 rows");
    assert_ends(state, "objects.list('many', {order_by = 'id desc'})", "", "more than 10000 rows");
    assert_ends(state, "local n = 1", "data:\n  m: { table: many, list: true }\n",
                "more than 10000 rows");
}

static void a_row_may_be_too_large_to_load(void **state)
{
    runtime_fixture_tables(*state, "CREATE TABLE wide (id int PRIMARY KEY, t text);"
                                   "INSERT INTO wide VALUES (1, repeat('x', 100000000))");
    assert_ends(state, "objects.load('wide', {id = 1})", "", "larger than 32768 KiB");
    assert_ends(state, "local n = 1", "data:\n  m: { table: wide, key: { id: 1 } }\n",
                "larger than 32768 KiB");
}

/* ---- JSON ---- */

static const char BIG_JSON[] =
    "CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, t text DEFAULT '',"
    " slug text UNIQUE, doc jsonb, raw json);"
    "INSERT INTO item (id, slug, doc, raw) VALUES"
    " (1, 'a', '{\"n\": 123456789012345678901}', '[1e400]');"
    "CREATE TABLE line (id int PRIMARY KEY, item int, n int)";

/* The rest of the row is as usable as ever, and what is not touched is not written. */
static void json_beyond_lua_is_told_where_it_is_touched(void **state)
{
    struct runtime_fixture *fixture = *state;
    runtime_fixture_tables(fixture, BIG_JSON);
    struct host *host = host_start(fixture, NULL);
    struct outcome outcome =
        script_desk_run(host, "data.i.n = data.i.n + 1\n"
                              "local ok, why = pcall(function() return data.i.doc end)\n"
                              "output = {ok, why}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output,
                        "[false,\"test.yaml:23: i: column doc: line 1, column 27: a number out of "
                        "range: integers go from -2^63 to 2^63-1, others to 1.8e308\"]");
    outcome = script_desk_run(host, "return data.i.raw");
    assert_outcome(&outcome, STATUS_FAILED, "column raw: line 1, column 6: a number out of range");
    assert_sql_text(fixture, "SELECT n || ' ' || doc || ' ' || raw FROM item WHERE id = 1",
                    "1 {\"n\": 123456789012345678901} [1e400]");
    /* as text it is exact, and it may be replaced */
    outcome = script_desk_run(
        host, "output.t = sql([[SELECT doc->>'n' AS t FROM item WHERE id = 1]])[1].t\n"
              "data.i.doc = {n = 1}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "{\"t\":\"123456789012345678901\"}");
    assert_sql_text(fixture, "SELECT doc FROM item WHERE id = 1", "{\"n\": 1}");
    outcome = script_desk_run(host, "sql([[SELECT '[-9223372036854775809]'::jsonb AS j]])");
    assert_outcome(&outcome, STATUS_FAILED, "column j: line 1, column 21: a number out of range");
    host_stop(host);
}

int answer_size_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_answer_ends_the_execution_and_not_the_host),
        cmocka_unit_test(a_list_has_ten_thousand_rows_at_most),
        cmocka_unit_test(a_row_may_be_too_large_to_load),
        cmocka_unit_test(json_beyond_lua_is_told_where_it_is_touched),
    };
    return cmocka_run_group_tests_name("answer_size", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
