/* Several rows of a table saved by one UPDATE, which finds each where it was loaded. */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    N = 10,
};

#define ITEM "CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, t text DEFAULT '');"
#define ROWS "INSERT INTO item (id) SELECT generate_series(10, 1, -1);"

/* The rows 1, 2 and 3, by one execution, without a lock. */
#define THREE_OF(key, lines, script)                                                               \
    "workflow: three\n"                                                                            \
    "input:\n"                                                                                     \
    "  id: integer\n"                                                                              \
    "data:\n"                                                                                      \
    "  x:\n    table: item\n    key: { " key(1) " }\n"                                             \
                                                "  y:\n    table: item\n    key: { " key(          \
                                                    2) " }\n"                                      \
                                                       "  z:\n    table: item\n    key: { " key(   \
                                                           3) " }\n"                               \
                                                              "start: go\n"                        \
                                                              "activities:\n"                      \
                                                              "  go:\n"                            \
                                                              "    waiting-timeout: 30s\n" lines   \
                                                              "    script: |\n      " script "\n"
#define BY_ID(n) "id: " #n
#define BY_TWO(n) "a: " #n ", b: -" #n
#define THREE(lines, script) THREE_OF(BY_ID, lines, script)
/* It is in no batch with others, and waits for a row for as long as it may. */
#define PATIENT "    auto-commit-changes: false\n"
#define COUNT "data.x.n = data.x.n + 1; data.y.n = data.y.n + 1; data.z.n = data.z.n + 1"

/* A row by one execution, under a lock of its own. */
#define ONE(lines, script)                                                                         \
    "workflow: one\n"                                                                              \
    "input:\n"                                                                                     \
    "  id: integer\n"                                                                              \
    "data:\n"                                                                                      \
    "  i:\n    table: item\n    key: { id: input.id }\n"                                           \
    "start: go\n"                                                                                  \
    "activities:\n"                                                                                \
    "  go:\n"                                                                                      \
    "    enable-exclusive-lock: true\n"                                                            \
    "    lock-context: '{\"item\", input.id}'\n"                                                   \
    "    acquire-timeout: 30s\n" lines "    script: |\n      " script "\n"

static struct host *start(void **state, const char *tables)
{
    runtime_fixture_tables(*state, tables);
    return host_start(*state, NULL);
}

static void turn_until_somebody_waits(struct runtime_fixture *fixture)
{
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM pg_stat_activity WHERE datname ="
                          " current_database() AND wait_event_type = 'Lock'",
                          1);
}

static void run_three(struct host *host, const char *yaml)
{
    struct outcome outcome = host_run(host, yaml, "{\"id\":1}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_int_equal(outcome.attempts, 1);
}

static void assert_no_deadlock(struct runtime_fixture *fixture)
{
    fixture_exec(fixture->sql, "SELECT pg_stat_clear_snapshot()");
    assert_sql_int(fixture,
                   "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()", 0);
}

/* ---- versions ---- */

/* The loads have read what stands; the save waits for the row until it is another. */
static void a_row_that_somebody_changes_meanwhile_is_not_overwritten(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    PGconn *other = fixture_connect(fixture->conninfo);
    struct host *host = start(state, ITEM ROWS);
    run_three(host, THREE("", COUNT));
    fixture_exec(other, "BEGIN; UPDATE item SET n = n + 100 WHERE id = 2");
    host_submit(host, host_publish(host, THREE(PATIENT, COUNT)), "{\"id\":1}", &outcome);
    turn_until_somebody_waits(fixture);
    fixture_exec(other, "COMMIT");
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_true(outcome.attempts > 1);
    assert_sql_text(fixture, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM item WHERE id <= 3",
                    "2 102 2");
    PQfinish(other);
    host_stop(host);
}

static void a_row_that_is_deleted_meanwhile_is_missing(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    PGconn *other = fixture_connect(fixture->conninfo);
    struct host *host = start(state, ITEM ROWS);
    run_three(host, THREE("", COUNT));
    fixture_exec(other, "BEGIN; DELETE FROM item WHERE id = 2");
    host_submit(host, host_publish(host, THREE(PATIENT, COUNT)), "{\"id\":1}", &outcome);
    turn_until_somebody_waits(fixture);
    fixture_exec(other, "COMMIT");
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_MISSING, "no such row");
    assert_sql_text(fixture, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM item WHERE id <= 3",
                    "1 1");
    PQfinish(other);
    host_stop(host);
}

/* One row of the batch is another by then: whether the batch waits for it or gives up, each of its
 * members counts once. */
static void a_batch_with_a_changed_row_loses_nothing(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcomes[N];
    PGconn *other = fixture_connect(fixture->conninfo);
    struct host *host = start(state, ITEM ROWS);
    struct workflow *workflow = host_publish(host, ONE("", "data.i.n = data.i.n + 1"));
    for (int round = 0; round < 2; round++) {
        if (round > 0)
            fixture_exec(other, "BEGIN; UPDATE item SET n = n + 100, t = 'x' WHERE id = 5");
        for (int i = 0; i < N; i++)
            host_submitf(host, workflow, &outcomes[i], "{\"id\":%d}", N - i);
        if (round > 0) {
            turn_until_somebody_waits(fixture);
            fixture_exec(other, "COMMIT");
        }
        runtime_fixture_wait(fixture);
        for (int i = 0; i < N; i++)
            assert_outcome(&outcomes[i], STATUS_COMPLETED, "");
    }
    assert_sql_text(fixture, "SELECT string_agg(n || t, ' ' ORDER BY id) FROM item",
                    "2 2 2 2 102x 2 2 2 2 2");
    PQfinish(other);
    host_stop(host);
}

static void with_overwrite_the_last_writer_of_several_rows_wins(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    const char *yaml = THREE(PATIENT "    on-conflict: overwrite\n", COUNT);
    PGconn *other = fixture_connect(fixture->conninfo);
    struct host *host = start(state, ITEM ROWS);
    run_three(host, yaml);
    fixture_exec(other, "BEGIN; UPDATE item SET n = n + 100, t = 'x' WHERE id = 2");
    host_submit(host, host_publish(host, yaml), "{\"id\":1}", &outcome);
    turn_until_somebody_waits(fixture);
    fixture_exec(other, "COMMIT");
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_int_equal(outcome.attempts, 1);
    assert_sql_text(fixture, "SELECT string_agg(n || t, ' ' ORDER BY id) FROM item WHERE id <= 3",
                    "2 2x 2");
    PQfinish(other);
    host_stop(host);
}

/* ---- order ---- */

/* Somebody holds row 2: row 1 is locked by then, and row 3 is not, whatever the table's size told
 * the planner. */
static void assert_locked_in_key_order(void **state, const char *table, const char *key,
                                       const char *yaml)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    char sql[256], free_rows[64];
    PGconn *other = fixture_connect(fixture->conninfo);
    struct host *host = start(state, table);
    fixture_execf(other, "BEGIN; SELECT FROM item WHERE %s = 2 FOR UPDATE", key);
    host_submit(host, host_publish(host, yaml), "{\"id\":1}", &outcome);
    turn_until_somebody_waits(fixture);
    snprintf(sql, sizeof sql,
             "SELECT coalesce(string_agg(k::text, ' ' ORDER BY k), '') FROM (SELECT %s AS k FROM "
             "item WHERE"
             " %s BETWEEN 1 AND 3 FOR UPDATE SKIP LOCKED) AS s",
             key, key);
    fixture_text(fixture->sql, sql, free_rows, sizeof free_rows);
    fixture_exec(other, "COMMIT");
    PQfinish(other);
    runtime_fixture_wait(fixture);
    host_stop(host);
    assert_string_equal(free_rows, "3");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_int_equal(outcome.attempts, 1);
}

static void rows_are_locked_in_the_order_of_their_keys(void **state)
{
    static const char *const tables[] = {
        ITEM ROWS,
        ITEM "ANALYZE item;" ROWS,
        ITEM "INSERT INTO item VALUES (0); ANALYZE item;" ROWS,
        ITEM "INSERT INTO item (id) SELECT g FROM generate_series(3, 1, -1) g; ANALYZE item",
        ITEM "INSERT INTO item (id) SELECT g FROM generate_series(3000, 1, -1) g; ANALYZE item",
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        assert_locked_in_key_order(state, tables[i], "id", THREE(PATIENT, COUNT));
        assert_locked_in_key_order(state, tables[i], "id",
                                   THREE(PATIENT "    on-conflict: overwrite\n", COUNT));
    }
}

#define PAIR                                                                                       \
    "CREATE TABLE item (a int, b int, n int NOT NULL DEFAULT 0, PRIMARY KEY (a, b));"              \
    "CREATE INDEX ON item (b);"
#define PAIRS "INSERT INTO item (a, b) SELECT g, -g FROM generate_series(3, 1, -1) AS g;"

/* An index of the table could lead through it in another order. */
static void an_index_in_another_order_changes_nothing(void **state)
{
    static const char *const tables[] = {
        PAIR PAIRS,
        PAIR "ANALYZE item;" PAIRS,
        PAIR "INSERT INTO item VALUES (9, 9); ANALYZE item;" PAIRS,
        PAIR PAIRS "ANALYZE item",
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        assert_locked_in_key_order(state, tables[i], "a", THREE_OF(BY_TWO, PATIENT, COUNT));
}

/* What the session would rather do is not asked. */
static void settings_of_the_planner_change_no_order(void **state)
{
    static const char *const settings[] = {"enable_tidscan", "enable_nestloop", "enable_indexscan",
                                           "enable_sort", "enable_material"};
    struct runtime_fixture *fixture = *state;
    char name[128];
    fixture_text(fixture->sql, "SELECT current_database()::text", name, sizeof name);
    /* what they make look dear in other statements is not worth compiling */
    fixture_execf(fixture->sql, "ALTER DATABASE %s SET jit = off", name);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        fixture_execf(fixture->sql, "ALTER DATABASE %s SET %s = off", name, settings[i]);
        assert_locked_in_key_order(state, PAIR "ANALYZE item;" PAIRS, "a",
                                   THREE_OF(BY_TWO, PATIENT, COUNT));
        fixture_execf(fixture->sql, "ALTER DATABASE %s RESET %s", name, settings[i]);
    }
    fixture_execf(fixture->sql, "ALTER DATABASE %s RESET jit", name);
}

/* Two hosts go through the same rows in opposite directions, without a lock in common. */
static void batches_of_two_hosts_in_opposite_order_never_deadlock(void **state)
{
    enum { ROUNDS = 20 };
    static struct outcome outcomes[2][ROUNDS][N];
    static const char yaml[] = "workflow: free\ninput:\n  id: integer\ndata:\n  i:\n"
                               "    table: item\n    key: { id: input.id }\nstart: go\n"
                               "activities:\n  go:\n    waiting-timeout: 30s\n"
                               "    script: data.i.n = data.i.n + 1\n";
    struct runtime_fixture *fixture = *state;
    struct host *hosts[2];
    struct workflow *workflows[2];
    hosts[0] = start(state, ITEM "INSERT INTO item VALUES (0); ANALYZE item;" ROWS);
    hosts[1] = host_start(fixture, NULL);
    for (int h = 0; h < 2; h++)
        workflows[h] = host_publish(hosts[h], yaml);
    for (int round = 0; round < ROUNDS; round++) {
        for (int h = 0; h < 2; h++)
            for (int i = 0; i < N; i++)
                host_submitf(hosts[h], workflows[h], &outcomes[h][round][i], "{\"id\":%d}",
                             h ? N - i : i + 1);
        runtime_fixture_turn(fixture, 1);
    }
    runtime_fixture_wait(fixture);
    for (int h = 0; h < 2; h++)
        for (int round = 0; round < ROUNDS; round++)
            for (int i = 0; i < N; i++)
                assert_outcome(&outcomes[h][round][i], STATUS_COMPLETED, "");
    host_stop(hosts[0]);
    host_stop(hosts[1]);
    assert_sql_int(fixture, "SELECT count(*) FROM item WHERE n = 40", N);
    assert_no_deadlock(fixture);
}

/* ---- what does not stand where it was loaded ---- */

static void rows_that_the_script_itself_has_written_are_saved(void **state)
{
    struct host *host = start(state, ITEM ROWS);
    run_three(host, THREE("", COUNT " sql(\"update item set n = n * 10, t = 'x' where id in (1, 2)"
                                    "\") " COUNT));
    assert_sql_text(*state, "SELECT string_agg(n || t, ' ' ORDER BY id) FROM item WHERE id <= 3",
                    "11x 11x 2");
    host_stop(host);
}

/* What stands in memory is saved before the script is answered: the rows stand elsewhere since. */
static void rows_that_were_saved_before_are_saved_again(void **state)
{
    struct host *host = start(state, ITEM ROWS);
    run_three(host, THREE("", COUNT " objects.load('item', {id = 4}).n = 7 " COUNT
                                    " output.n = #objects.list('item', {}) " COUNT));
    run_three(host, THREE("", COUNT " objects.load('item', {id = 5}).n = 8 " COUNT));
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM item WHERE id <= 5",
                    "5 5 5 7 8");
    host_stop(host);
}

static void rows_that_are_new_are_saved_beside_loaded_ones(void **state)
{
    struct host *host = start(state, ITEM ROWS);
    run_three(host, THREE("", "local new = objects.new('item', {id = 77}) new.n = 5 " COUNT));
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM item WHERE n > 0",
                    "1 1 1 5");
    host_stop(host);
}

static void the_rows_of_a_list_are_saved(void **state)
{
    struct host *host = start(state, ITEM ROWS);
    run_three(host, "workflow: w\ninput:\n  id: integer\ndata:\n  l:\n    table: item\n"
                    "    list: true\n    where: { n: 0 }\n    order-by: id desc\nstart: go\n"
                    "activities:\n  go:\n    script: |\n"
                    "      for i, row in ipairs(data.l) do row.n = row.n + i end\n"
                    "      data.l:remove(data.l[10])\n");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM item",
                    "9 8 7 6 5 4 3 2 1");
    host_stop(host);
}

static void members_that_change_different_columns_share_a_transaction(void **state)
{
    struct outcome outcomes[N];
    struct host *host = start(state, ITEM ROWS);
    struct workflow *workflow = host_publish(
        host, ONE("", "if input.id % 2 == 0 then data.i.n = input.id else data.i.t = 'odd' end"));
    for (int i = 0; i < N; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"id\":%d}", i + 1);
    runtime_fixture_wait(*state);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N);
    assert_sql_text(*state, "SELECT string_agg(n || t, ' ' ORDER BY id) FROM item",
                    "0odd 2 0odd 4 0odd 6 0odd 8 0odd 10");
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.commit_mark WHERE NOT void", 1);
    host_stop(host);
}

/* Of every type that rows have, found by a key that travels as text. */
static void values_of_all_types_are_saved(void **state)
{
    struct host *host = start(
        state, "CREATE TABLE item (id uuid PRIMARY KEY, s int2, f4 float4, f8 float8, b bool,"
               " t text, v varchar(9), d numeric, j jsonb, w timestamptz, n int DEFAULT 0);"
               "INSERT INTO item (id) SELECT format('00000000-0000-4000-8000-00000000000%s', g)"
               "::uuid FROM generate_series(1, 3) AS g");
#define BY_UUID(n) "id: '\"00000000-0000-4000-8000-00000000000" #n "\"'"
    run_three(host, THREE_OF(BY_UUID, "",
                             "for i, r in ipairs({data.x, data.y, data.z}) do r.s = -i"
                             " r.f4 = i / 2 r.f8 = i / 8 r.b = i == 2 r.t = 'a,\"' .. i"
                             " r.v = i == 3 and 'x' or nil r.d = '12.5' r.j = {k = i}"
                             " r.w = '2020-01-01 00:00:00+00' r.n = i end"));
    assert_sql_text(*state,
                    "SELECT string_agg(concat_ws('|', s, f4, f8, b, t, v, d, j, w = '2020-01-01"
                    " 00:00:00+00', n), ' ' ORDER BY id) FROM item",
                    "-1|0.5|0.125|f|a,\"1|12.5|{\"k\": 1}|t|1"
                    " -2|1|0.25|t|a,\"2|12.5|{\"k\": 2}|t|2"
                    " -3|1.5|0.375|f|a,\"3|x|12.5|{\"k\": 3}|t|3");
    host_stop(host);
}

/* A lease is held over transactions: where its rows stood is no place to find them. After the
 * rewrite, another row with the same version stands where each was. */
static void rows_of_a_rewritten_table_are_found_by_their_keys(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *host = start(
        state, "CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, t text);"
               "INSERT INTO item (id) SELECT generate_series(0, 5); DELETE FROM item WHERE id = 0;"
               "CREATE TABLE gate (open bool)");
    host_submit(
        host,
        host_publish(host, THREE("    enable-exclusive-lock: true\n"
                                 "    lock-hold: lease\n",
                                 COUNT " while #sql('select from gate') == 0 do sleep(0.02) end")),
        "{\"id\":1}", &outcome);
    runtime_fixture_until(fixture, "SELECT (count(*) > 0)::int FROM latchkey.lease", 1);
    runtime_fixture_turn(fixture, 100);
    assert_sql_text(fixture, "SELECT ctid::text FROM item WHERE id = 1", "(0,2)");
    fixture_exec(fixture->sql, "VACUUM FULL item");
    assert_sql_text(fixture, "SELECT ctid::text FROM item WHERE id = 2", "(0,2)");
    assert_false(outcome.told);
    fixture_exec(fixture->sql, "INSERT INTO gate VALUES (true)");
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_int_equal(outcome.attempts, 1);
    assert_sql_text(fixture, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM item", "1 1 1 0 0");
    host_stop(host);
}

int save_in_place_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_that_somebody_changes_meanwhile_is_not_overwritten),
        cmocka_unit_test(a_row_that_is_deleted_meanwhile_is_missing),
        cmocka_unit_test(a_batch_with_a_changed_row_loses_nothing),
        cmocka_unit_test(with_overwrite_the_last_writer_of_several_rows_wins),
        cmocka_unit_test(rows_are_locked_in_the_order_of_their_keys),
        cmocka_unit_test(an_index_in_another_order_changes_nothing),
        cmocka_unit_test(settings_of_the_planner_change_no_order),
        cmocka_unit_test(batches_of_two_hosts_in_opposite_order_never_deadlock),
        cmocka_unit_test(rows_that_the_script_itself_has_written_are_saved),
        cmocka_unit_test(rows_that_were_saved_before_are_saved_again),
        cmocka_unit_test(rows_that_are_new_are_saved_beside_loaded_ones),
        cmocka_unit_test(the_rows_of_a_list_are_saved),
        cmocka_unit_test(members_that_change_different_columns_share_a_transaction),
        cmocka_unit_test(values_of_all_types_are_saved),
        cmocka_unit_test(rows_of_a_rewritten_table_are_found_by_their_keys),
    };
    return cmocka_run_group_tests_name("save_in_place", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
