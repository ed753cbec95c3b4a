/* Rows of many members, read by one statement: by an array of their keys, where these are integers.
 */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    N = 12,
};

#define GO(script)                                                                                 \
    "start: go\nactivities:\n  go:\n    enable-exclusive-lock: true\n"                             \
    "    lock-context: '{\"item\", tostring(input.id)}'\n"                                         \
    "    acquire-timeout: 30s\n    script: |\n      " script "\n"
#define ITEM(key, script)                                                                          \
    "workflow: item\ninput:\n  id: number\ndata:\n  i:\n    table: item\n"                         \
    "    key: { id: " key " }\n" GO(script)

static struct host *start(void **state, const char *tables)
{
    runtime_fixture_tables(*state, tables);
    return host_start(*state, NULL);
}

static void assert_n_transactions(struct runtime_fixture *fixture, int64_t n)
{
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.commit_mark WHERE NOT void", n);
}

/* One execution for each input, all at once. */
static void run_inputs(struct host *host, struct runtime_fixture *fixture, const char *yaml,
                       const char *const *ids, int n, struct outcome *outcomes)
{
    struct workflow *workflow = host_publish(host, yaml);
    for (int i = 0; i < n; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"id\":%s}", ids[i]);
    runtime_fixture_wait(fixture);
}

static void assert_output(const struct outcome *outcome, const char *output)
{
    assert_outcome(outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome->output, output);
}

/* Each member sees its own row, in whatever order the rows come. */
static void rows_of_integer_keys_reach_who_asked_for_them(void **state)
{
    static const char *const types[] = {"smallint", "integer", "bigint", "text", "numeric"};
    static const char *const ids[] = {"0", "-1", "7", "-32768", "32767", "7"};
    static const char *const outputs[] = {"{\"t\":\"at 0\"}",     "{\"t\":\"at -1\"}",
                                          "{\"t\":\"at 7\"}",     "{\"t\":\"at -32768\"}",
                                          "{\"t\":\"at 32767\"}", "{\"t\":\"at 7\"}"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct runtime_fixture *fixture = *state;
        struct outcome outcomes[6];
        char tables[256];
        snprintf(tables, sizeof tables,
                 "CREATE TABLE item (id %s PRIMARY KEY, t text, n int DEFAULT 0); INSERT INTO item"
                 " (id, t) SELECT g, 'at ' || g FROM unnest(ARRAY[7, -32768, 0, 32767, -1]) AS g",
                 types[i]);
        struct host *host = start(state, tables);
        bool is_text = strcmp(types[i], "text") == 0;
        run_inputs(host, fixture,
                   is_text
                       ? ITEM("tostring(input.id)", "output.t = data.i.t; data.i.n = data.i.n + 1")
                       : ITEM("input.id", "output.t = data.i.t; data.i.n = data.i.n + 1"),
                   ids, 6, outcomes);
        for (int o = 0; o < 6; o++)
            assert_output(&outcomes[o], outputs[o]);
        assert_sql_text(fixture, "SELECT string_agg(n::text, ' ' ORDER BY t) FROM item",
                        "1 1 1 1 2");
        assert_n_transactions(fixture, 1);
        host_stop(host);
    }
}

static void the_largest_integers_are_keys(void **state)
{
    static const char *const ids[] = {"-9223372036854775808", "9223372036854775807",
                                      "9007199254740993", "-9007199254740993"};
    struct outcome outcomes[4];
    struct host *host =
        start(state, "CREATE TABLE item (id bigint PRIMARY KEY, n int DEFAULT 0); INSERT INTO item"
                     " VALUES (-9223372036854775808), (9223372036854775807), (9007199254740993),"
                     " (-9007199254740993), (9007199254740992)");
    run_inputs(
        host, *state,
        "workflow: item\ninput:\n  id: integer\ndata:\n  i:\n    table: item\n"
        "    key: { id: input.id }\n" GO("data.i.n = 1; output.same = data.i.id == input.id"),
        ids, 4, outcomes);
    for (int i = 0; i < 4; i++)
        assert_output(&outcomes[i], "{\"same\":true}");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM item", "1 1 0 1 1");
    host_stop(host);
}

static void keys_that_are_not_there_are_missing_among_those_that_are(void **state)
{
    static const char *const ids[] = {"1", "99", "2", "-1", "3", "99"};
    struct outcome outcomes[6];
    struct host *host = start(state, "CREATE TABLE item (id int PRIMARY KEY, n int DEFAULT 0);"
                                     "INSERT INTO item SELECT generate_series(1, 5)");
    run_inputs(host, *state, ITEM("input.id", "data.i.n = data.i.n + 1"), ids, 6, outcomes);
    for (int i = 0; i < 6; i++)
        assert_outcome(&outcomes[i], i % 2 ? STATUS_MISSING : STATUS_COMPLETED,
                       i % 2 ? "no such row" : "");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM item", "1 1 1 0 0");
    assert_n_transactions(*state, 1);
    host_stop(host);
}

/* A key that the column's type does not hold is one member's affair. */
static void a_key_out_of_range_is_alone_in_failing(void **state)
{
    static const char *const ids[] = {"1", "70000", "2"};
    struct outcome outcomes[3];
    struct host *host = start(state, "CREATE TABLE item (id smallint PRIMARY KEY, n int DEFAULT 0);"
                                     "INSERT INTO item SELECT generate_series(1, 5)");
    run_inputs(host, *state, ITEM("input.id", "data.i.n = data.i.n + 1"), ids, 3, outcomes);
    assert_outcome(&outcomes[0], STATUS_COMPLETED, "");
    assert_true(outcomes[1].status != STATUS_COMPLETED);
    assert_outcome(&outcomes[2], STATUS_COMPLETED, "");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM item", "1 1 0 0 0");
    host_stop(host);
}

/* Lua's integers and floats of integral value. */
static void keys_that_lua_holds_as_floats_find_their_rows(void **state)
{
    static const char *const ids[] = {"1", "2", "3", "4", "5"};
    struct outcome outcomes[5];
    struct host *host = start(state, "CREATE TABLE item (id int PRIMARY KEY, n int DEFAULT 0);"
                                     "INSERT INTO item SELECT generate_series(0, 5)");
    run_inputs(host, *state,
               ITEM("'({1, 2.0, 3, 4.0, -0.0})[input.id]'", "data.i.n = data.i.n + 1"), ids, 5,
               outcomes);
    for (int i = 0; i < 5; i++)
        assert_outcome(&outcomes[i], STATUS_COMPLETED, "");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM item", "1 1 1 1 1 0");
    host_stop(host);
}

/* Both declarations ask one table for rows, some of them for the same one. */
static void two_declarations_of_a_table_share_their_rows(void **state)
{
    static struct outcome outcomes[N];
    char expected[256] = "";
    struct host *host = start(state, "CREATE TABLE item (id int PRIMARY KEY, n int DEFAULT 0);"
                                     "INSERT INTO item SELECT generate_series(0, 12)");
    struct workflow *workflow = host_publish(
        host, "workflow: pair\ninput:\n  id: integer\ndata:\n"
              "  x:\n    table: item\n    key: { id: input.id }\n"
              "  y:\n    table: item\n    key: { id: input.id // 2 * 2 }\n"
              "start: go\nactivities:\n  go:\n    enable-exclusive-lock: true\n"
              "    lock-context: '{\"pair\", input.id // 2}'\n    acquire-timeout: 30s\n"
              "    script: |\n      data.x.n = data.x.n + 1\n      data.y.n = data.y.n + 10\n");
    for (int i = 0; i < N; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"id\":%d}", N - 1 - i);
    runtime_fixture_wait(*state);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N);
    for (int i = 0; i < N; i++)
        strcat(expected, i % 2 ? "1 " : "21 ");
    strcat(expected, "0");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM item", expected);
    assert_n_transactions(*state, 1);
    host_stop(host);
}

/* The same rows by another integer key, which may be null in other rows. */
static void a_unique_integer_column_is_a_key_too(void **state)
{
    static const char *const ids[] = {"3", "1", "2", "8"};
    struct outcome outcomes[4];
    struct host *host =
        start(state, "CREATE TABLE item (pk text PRIMARY KEY, id int UNIQUE, n int DEFAULT 0);"
                     "INSERT INTO item VALUES ('a', 1), ('b', 2), ('c', 3), ('d', NULL)");
    run_inputs(host, *state, ITEM("input.id", "data.i.n = data.i.id"), ids, 4, outcomes);
    for (int i = 0; i < 3; i++)
        assert_outcome(&outcomes[i], STATUS_COMPLETED, "");
    assert_outcome(&outcomes[3], STATUS_MISSING, "no such row");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY pk) FROM item", "1 2 3 0");
    assert_n_transactions(*state, 1);
    host_stop(host);
}

/* A domain is what it stands for. */
static void a_domain_over_an_integer_is_a_key_too(void **state)
{
    static const char *const ids[] = {"3", "1", "2"};
    struct outcome outcomes[3];
    struct host *host = start(state, "CREATE DOMAIN number AS int CHECK (VALUE < 100);"
                                     "CREATE TABLE item (id number PRIMARY KEY, n int DEFAULT 0);"
                                     "INSERT INTO item SELECT generate_series(1, 3)");
    run_inputs(host, *state, ITEM("input.id", "data.i.n = data.i.id"), ids, 3, outcomes);
    assert_int_equal(count_outcomes(outcomes, 3, STATUS_COMPLETED), 3);
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM item", "1 2 3");
    assert_n_transactions(*state, 1);
    host_stop(host);
}

int load_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_integer_keys_reach_who_asked_for_them),
        cmocka_unit_test(the_largest_integers_are_keys),
        cmocka_unit_test(keys_that_are_not_there_are_missing_among_those_that_are),
        cmocka_unit_test(a_key_out_of_range_is_alone_in_failing),
        cmocka_unit_test(keys_that_lua_holds_as_floats_find_their_rows),
        cmocka_unit_test(two_declarations_of_a_table_share_their_rows),
        cmocka_unit_test(a_unique_integer_column_is_a_key_too),
        cmocka_unit_test(a_domain_over_an_integer_is_a_key_too),
    };
    return cmocka_run_group_tests_name("load", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
