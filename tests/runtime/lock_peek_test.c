/* Lock contexts that use data: loaded before the lock to see which it is, and again under it. */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char tables[] =
    "CREATE TABLE item (id integer PRIMARY KEY, owner text, n integer NOT NULL DEFAULT 0);"
    "INSERT INTO item SELECT i, 'a' FROM generate_series(1, 10) AS i;";

static const char yaml[] = "workflow: move\n"
                           "input: {id: integer}\n"
                           "data: {item: {table: item, key: {id: input.id}}}\n"
                           "start: add\n"
                           "activities:\n"
                           "  add:\n"
                           "    enable-exclusive-lock: true\n"
                           "    lock-context: '{\"owner\", data.item.owner}'\n"
                           "    script: data.item.n = data.item.n + 1\n";

static struct host *start(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = runtime_fixture_options(fixture);
    runtime_fixture_tables(fixture, tables);
    return host_start(fixture, &options);
}

static void the_data_name_the_lock(void **state)
{
    enum { N = 100 };
    static struct outcome outcomes[N];
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, yaml);
    for (int i = 0; i < N; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"id\":%d}", 1 + i % 10);
    runtime_fixture_wait(*state);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N);
    assert_string_equal(outcomes[0].paths, "owner/a");
    assert_sql_int(*state, "SELECT sum(n) FROM item", N);
    assert_nothing_held(*state);
    host_stop(host);
}

static void a_missing_row_or_a_wrong_key_ends_it(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    struct outcome outcome = host_run(host, yaml, "{\"id\":99}");
    assert_outcome(&outcome, STATUS_MISSING, "no such row in table item");
    fixture_exec(fixture->sql, "UPDATE item SET owner = NULL");
    outcome = host_run(host, yaml, "{\"id\":1}");
    assert_outcome(&outcome, STATUS_INVALID, "test.yaml:8: item 2 of the list is nil");
    host_stop(host);
}

/* While it waits for the lock that it saw, the row comes under another one. */
static void another_key_under_the_lock_starts_it_over(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, yaml);
    PGconn *a = fixture_connect(fixture->conninfo), *b = fixture_connect(fixture->conninfo);
    fixture_exec(a, "BEGIN; SELECT latchkey.lock('owner/a')");
    fixture_exec(b, "BEGIN; SELECT latchkey.lock('owner/b')");
    host_submit(host, workflow, "{\"id\":1}", &outcome);
    runtime_fixture_turn(fixture, 300);
    fixture_exec(a, "UPDATE item SET owner = 'b' WHERE id = 1; COMMIT");
    runtime_fixture_turn(fixture, 300);
    assert_false(outcome.told); /* now it waits for b */
    fixture_exec(b, "UPDATE item SET n = 10 WHERE id = 1; COMMIT");
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.paths, "owner/b");
    assert_sql_int(fixture, "SELECT n FROM item WHERE id = 1", 11);
    PQfinish(a);
    PQfinish(b);
    host_stop(host);
}

static void data_that_never_rest_are_a_conflict(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    enum { N = 5 };
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    char sql[200];
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, yaml);
    PGconn *holders[N];
    for (int i = 0; i < N; i++) {
        holders[i] = fixture_connect(fixture->conninfo);
        snprintf(sql, sizeof sql, "BEGIN; SELECT latchkey.lock('owner/%s')", names[i]);
        fixture_exec(holders[i], sql);
    }
    host_submit(host, workflow, "{\"id\":1}", &outcome);
    for (int i = 0; i < N && !outcome.told; i++) {
        runtime_fixture_turn(fixture, 300);
        snprintf(sql, sizeof sql, "UPDATE item SET owner = '%s' WHERE id = 1; COMMIT",
                 names[i + 1]);
        fixture_exec(holders[i], sql);
    }
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_CONFLICT, "another lock at each try");
    assert_sql_int(fixture, "SELECT n FROM item WHERE id = 1", 0);
    for (int i = 0; i < N; i++)
        PQfinish(holders[i]);
    host_stop(host);
}

int lock_peek_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_data_name_the_lock),
        cmocka_unit_test(a_missing_row_or_a_wrong_key_ends_it),
        cmocka_unit_test(another_key_under_the_lock_starts_it_over),
        cmocka_unit_test(data_that_never_rest_are_a_conflict),
    };
    return cmocka_run_group_tests_name("lock_peek", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
