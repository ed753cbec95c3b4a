/* The order in which the rows of one save are locked. */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct host *start(void **state, const char *tables)
{
    runtime_fixture_tables(*state, tables);
    return host_start(*state, NULL);
}

/* The plan of a table that was tiny when it was analysed could lead along an index, whose collation
 * has an order of its own, or through the whole table for each row. */
static void an_index_in_the_order_of_a_collation_changes_no_order(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    char free_rows[64];
    PGconn *other = fixture_connect(fixture->conninfo);
    struct host *host = start(
        state, "CREATE TABLE item (k text COLLATE \"und-x-icu\" PRIMARY KEY, n int DEFAULT 0);"
               "INSERT INTO item VALUES ('a'); ANALYZE item;"
               "INSERT INTO item VALUES ('B'), ('c')");
    fixture_exec(other, "BEGIN; SELECT FROM item WHERE k = 'a' FOR UPDATE");
    struct workflow *workflow =
        host_publish(host, "workflow: three\n"
                           "data:\n"
                           "  x: { table: item, key: { k: \"'a'\" } }\n"
                           "  y: { table: item, key: { k: \"'B'\" } }\n"
                           "  z: { table: item, key: { k: \"'c'\" } }\n"
                           "start: go\n"
                           "activities:\n"
                           "  go:\n"
                           "    auto-commit-changes: false\n" /* so that its wait lasts */
                           "    script: data.x.n = 1; data.y.n = 1; data.z.n = 1\n");
    host_submit(host, workflow, "{}", &outcome);
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM pg_stat_activity WHERE datname ="
                          " current_database() AND wait_event_type = 'Lock'",
                          1);
    fixture_text(fixture->sql,
                 "SELECT string_agg(k, ' ') FROM (SELECT k FROM item FOR UPDATE SKIP LOCKED) AS s",
                 free_rows, sizeof free_rows);
    fixture_exec(other, "COMMIT");
    PQfinish(other);
    runtime_fixture_wait(fixture);
    host_stop(host);
    assert_string_equal(free_rows, "c"); /* B was locked first, by its bytes */
    assert_outcome(&outcome, STATUS_COMPLETED, "");
}

int save_order_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_index_in_the_order_of_a_collation_changes_no_order),
    };
    return cmocka_run_group_tests_name("save_order", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
