/* Tables that are changed while hosts run over them. */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    N = 32,
    TRUST_MS = 2500, /* so long a description may be out of date */
};

#define ITEM(script)                                                                               \
    "workflow: item\ninput:\n  id: integer\ndata:\n  i:\n    table: item\n"                        \
    "    key: { id: input.id }\nstart: go\nactivities:\n  go:\n"                                   \
    "    enable-exclusive-lock: true\n    lock-context: '{\"item\", input.id}'\n"                  \
    "    acquire-timeout: 10s\n    script: " script "\n"

static const char TABLES[] =
    "CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, t text, u text);"
    "INSERT INTO item (id) SELECT generate_series(1, 4)";

struct change {
    struct runtime_fixture *fixture;
    struct host *host;
    struct workflow *workflow;
};

static struct change start(void **state, const char *yaml)
{
    struct change change = {.fixture = *state};
    runtime_fixture_tables(*state, TABLES);
    change.host = host_start(*state, NULL);
    change.workflow = host_publish(change.host, yaml);
    return change;
}

static void run(struct change *change, struct outcome *outcomes)
{
    for (int i = 0; i < N; i++)
        host_submitf(change->host, change->workflow, &outcomes[i], "{\"id\":%d}", i % 4 + 1);
    runtime_fixture_wait(change->fixture);
}

static void run_well(struct change *change)
{
    struct outcome outcomes[N];
    run(change, outcomes);
    for (int i = 0; i < N; i++)
        assert_outcome(&outcomes[i], STATUS_COMPLETED, "");
}

/* Runs, changes the table, and runs on as if nothing had been. */
static void goes_on_after(void **state, const char *yaml, const char *ddl)
{
    struct outcome alone;
    struct change change = start(state, yaml);
    run_well(&change);
    fixture_exec(change.fixture->sql, ddl);
    host_submit(change.host, change.workflow, "{\"id\":1}", &alone);
    runtime_fixture_wait(change.fixture);
    assert_outcome(&alone, STATUS_COMPLETED, "");
    run_well(&change);
    run_well(&change);
    assert_nothing_held(change.fixture);
    host_stop(change.host);
}

static void a_column_may_be_added(void **state)
{
    goes_on_after(state, ITEM("data.i.n = data.i.n + 1"),
                  "ALTER TABLE item ADD COLUMN first int NOT NULL DEFAULT 1");
    assert_sql_int(*state, "SELECT sum(n) FROM item", 3 * N + 1);
}

static void a_column_that_no_script_uses_may_be_dropped(void **state)
{
    goes_on_after(state, ITEM("data.i.n = data.i.n + 1"), "ALTER TABLE item DROP COLUMN t");
    assert_sql_int(*state, "SELECT sum(n) FROM item", 3 * N + 1);
}

static void a_column_that_no_script_uses_may_be_renamed(void **state)
{
    goes_on_after(state, ITEM("data.i.n = data.i.n + 1"),
                  "ALTER TABLE item RENAME COLUMN t TO title");
    assert_sql_int(*state, "SELECT sum(n) FROM item", 3 * N + 1);
}

static void a_column_may_get_another_type(void **state)
{
    goes_on_after(state, ITEM("data.i.n = data.i.n + 1"),
                  "ALTER TABLE item ALTER COLUMN n TYPE bigint,"
                  " ALTER COLUMN t TYPE int USING length(t)");
    assert_sql_int(*state, "SELECT sum(n) FROM item", 3 * N + 1);
}

static void a_table_may_be_replaced(void **state)
{
    goes_on_after(state, ITEM("data.i.n = data.i.n + 1"),
                  "ALTER TABLE item RENAME TO old; CREATE TABLE item (LIKE old INCLUDING ALL);"
                  "INSERT INTO item SELECT * FROM old; DROP TABLE old");
    assert_sql_int(*state, "SELECT sum(n) FROM item", 3 * N + 1);
}

static void a_script_that_misses_its_column_says_so(void **state)
{
    struct outcome outcomes[N];
    struct change change = start(state, ITEM("data.i.t = 'x'"));
    run_well(&change);
    fixture_exec(change.fixture->sql, "ALTER TABLE item RENAME COLUMN t TO title");
    run(&change, outcomes);
    for (int i = 0; i < N; i++)
        assert_outcome(&outcomes[i], STATUS_FAILED, "no column 't'");
    fixture_exec(change.fixture->sql, "ALTER TABLE item RENAME COLUMN title TO t");
    runtime_fixture_turn(change.fixture, TRUST_MS);
    run(&change, outcomes); /* looks at the table again, beside the work */
    run_well(&change);
    host_stop(change.host);
}

static void a_dropped_table_is_told_and_comes_back(void **state)
{
    struct outcome outcomes[N];
    struct change change = start(state, ITEM("data.i.n = data.i.n + 1"));
    run_well(&change);
    fixture_exec(change.fixture->sql, "ALTER TABLE item RENAME TO away");
    run(&change, outcomes);
    for (int i = 0; i < N; i++)
        assert_outcome(&outcomes[i], STATUS_INVALID, "test.yaml:5: data.i: there is no table");
    run(&change, outcomes);
    assert_outcome(&outcomes[0], STATUS_INVALID, "test.yaml:5: data.i: there is no table");
    fixture_exec(change.fixture->sql, "ALTER TABLE away RENAME TO item");
    run_well(&change);
    assert_sql_int(change.fixture, "SELECT sum(n) FROM item", 2 * N);
    host_stop(change.host);
}

static void a_key_that_is_unique_no_more_is_told(void **state)
{
    struct outcome outcomes[N];
    struct change change = start(state, ITEM("data.i.n = data.i.n + 1"));
    run_well(&change);
    fixture_exec(change.fixture->sql, "ALTER TABLE item DROP CONSTRAINT item_pkey");
    runtime_fixture_turn(change.fixture, TRUST_MS);
    run(&change, outcomes);
    run(&change, outcomes);
    for (int i = 0; i < N; i++)
        assert_outcome(&outcomes[i], STATUS_INVALID, "matches no unique index");
    host_stop(change.host);
}

/* From then on changes of one row may not be merged any more. */
static void a_trigger_that_is_added_is_seen_soon(void **state)
{
    struct change change = start(state, ITEM("data.i.n = data.i.n + 1"));
    run_well(&change);
    fixture_exec(change.fixture->sql,
                 "CREATE TABLE seen (id int);"
                 "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN INSERT INTO seen VALUES (NEW.id); RETURN NEW; END';"
                 "CREATE TRIGGER see AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION see()");
    runtime_fixture_turn(change.fixture, TRUST_MS);
    run_well(&change);
    runtime_fixture_turn(change.fixture, 50);
    fixture_exec(change.fixture->sql, "TRUNCATE seen");
    run_well(&change);
    assert_sql_int(change.fixture, "SELECT count(*) FROM seen", N);
    assert_sql_int(change.fixture, "SELECT sum(n) FROM item", 3 * N);
    host_stop(change.host);
}

/* Not the fault of what the host knows: it is looked at once, and then told. */
static void a_trigger_that_misses_a_column_is_told_at_once(void **state)
{
    struct outcome outcomes[N];
    struct change change = start(state, ITEM("data.i.n = data.i.n + 1"));
    fixture_exec(change.fixture->sql,
                 "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN PERFORM nothing FROM item; RETURN NEW; END';"
                 "CREATE TRIGGER see AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION see()");
    int64_t begun_us = clock_monotonic_us();
    run(&change, outcomes);
    for (int i = 0; i < N; i++)
        assert_outcome(&outcomes[i], STATUS_INVALID, "nothing");
    assert_true(clock_monotonic_us() - begun_us < 5000000);
    host_stop(change.host);
}

static void objects_follow_their_tables(void **state)
{
    struct outcome outcomes[N];
    struct change change =
        start(state, ITEM("objects.load('item', {id = 4}).n = 5; objects.new('item',"
                          " {id = input.id + 10}); objects.delete(objects.load('item',"
                          " {id = input.id + 10}))"));
    run_well(&change);
    fixture_exec(change.fixture->sql, "ALTER TABLE item DROP COLUMN t");
    run(&change, outcomes); /* the first may meet what is known no more */
    run_well(&change);
    host_stop(change.host);
}

int schema_change_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_column_may_be_added),
        cmocka_unit_test(a_column_that_no_script_uses_may_be_dropped),
        cmocka_unit_test(a_column_that_no_script_uses_may_be_renamed),
        cmocka_unit_test(a_column_may_get_another_type),
        cmocka_unit_test(a_table_may_be_replaced),
        cmocka_unit_test(a_script_that_misses_its_column_says_so),
        cmocka_unit_test(a_dropped_table_is_told_and_comes_back),
        cmocka_unit_test(a_key_that_is_unique_no_more_is_told),
        cmocka_unit_test(a_trigger_that_is_added_is_seen_soon),
        cmocka_unit_test(a_trigger_that_misses_a_column_is_told_at_once),
        cmocka_unit_test(objects_follow_their_tables),
    };
    return cmocka_run_group_tests_name("schema_change", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
