/* The end of a runtime while whole workflows are in each of their states: everyone is told once. */
#include "clock.h"
#include "flow_text.h"
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    PATIENCE_US = 60 * 1000 * 1000,
};

static const char tables[] =
    FLOW_TABLES "CREATE TABLE far (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);"
                "INSERT INTO far SELECT i FROM generate_series(1, 10) AS i;";

/* adds one */
#define STEP(name, context, more) FLOW_STEP(name, context, more, "data.row.n = data.row.n + 1")
#define PLAIN FLOW STEP("a", "{\"counter\", input.id}", "")

static struct host *start(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = runtime_fixture_options(fixture);
    options.ownership_us = 1000 * 1000;
    runtime_fixture_tables(fixture, tables);
    return host_start(fixture, &options);
}

/* One look decides: the first wait for a table or a row ends after 50 ms in a batch that others
 * could be in, perhaps before a second look. */
static void turn_until(void **state, PGconn *conn, const char *sql)
{
    int64_t until_us = clock_monotonic_us() + PATIENCE_US;
    while (fixture_int(conn, sql) == 0) {
        if (clock_monotonic_us() > until_us)
            fail_msg("%s gave 0 to the end", sql);
        runtime_fixture_turn(*state, 10);
    }
}

static const char somebody_waits[] =
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'";

static const char somebody_waits_for_advice[] =
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'";

/* Stops the host while its session waits for a table that is locked. */
static void stop_while_locked(void **state, struct host *host, const struct outcome *outcomes,
                              int n, enum execution_status status)
{
    struct runtime_fixture *fixture = *state;
    turn_until(state, fixture->sql, somebody_waits);
    for (int i = 0; i < n; i++)
        assert_false(outcomes[i].told);
    host_stop(host);
    for (int i = 0; i < n; i++)
        assert_outcome(&outcomes[i], status, "");
    assert_int_equal(fixture->n_waiting, 0);
    fixture_exec(fixture->sql, "ROLLBACK");
}

static void warm(void **state, struct host *host, struct workflow *workflow)
{
    struct outcome outcome;
    host_submit(host, workflow, "{\"id\":10}", &outcome);
    runtime_fixture_wait(*state);
    assert_true(outcome.status == STATUS_COMPLETED || outcome.status == STATUS_IDLE);
}

static void lock_table(void **state, const char *table)
{
    char sql[200];
    snprintf(sql, sizeof sql, "BEGIN; LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", table);
    fixture_exec(((struct runtime_fixture *)*state)->sql, sql);
}

static void those_whose_lock_is_looked_for(void **state)
{
    struct outcome outcomes[3];
    struct host *host = start(state);
    struct workflow *workflow =
        host_publish(host, FLOW STEP("a", "{\"counter\", data.row.id}", ""));
    warm(state, host, workflow);
    lock_table(state, "counter");
    for (int i = 0; i < 3; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"id\":%d}", i + 1);
    stop_while_locked(state, host, outcomes, 3, STATUS_FAILED);
}

/* Between two activities of a chain, both with a lock known at once and one that data name. */
static void those_in_a_chain(void **state)
{
    static const char *const chains[] = {
        FLOW STEP("a", "{\"counter\", input.id}", FLOW_OFF FLOW_TO("b"))
            STEP("b", "{\"far\", input.id}", ""),
        FLOW STEP("a", "{\"counter\", input.id}", FLOW_OFF FLOW_TO("b"))
            STEP("b", "{\"far\", data.row.n}", ""),
    };
    for (int i = 0; i < 2; i++) {
        struct runtime_fixture *fixture = *state;
        struct outcome outcome;
        struct host *host = start(state);
        struct workflow *workflow = host_publish(host, chains[i]);
        warm(state, host, workflow);
        PGconn *other = fixture_connect(fixture->conninfo);
        fixture_exec(other, "BEGIN; UPDATE counter SET n = 5 WHERE id = 1");
        host_submit(host, workflow, "{\"id\":1}", &outcome);
        turn_until(state, fixture->sql, "SELECT count(*) FROM pg_locks WHERE NOT granted");
        assert_false(outcome.told);
        host_stop(host);
        assert_outcome(&outcome, STATUS_FAILED, "the host stopped");
        PQfinish(other);
        assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 0);
    }
}

/* A chain that has let go and waits for all its locks. */
static void those_that_begin_a_chain_again(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *host = start(state);
    struct workflow *workflow =
        host_publish(host, FLOW STEP("a", "{\"counter\", input.id}", FLOW_OFF FLOW_TO("b"))
                               STEP("b", "{\"far\", input.id}", ""));
    PGconn *other = fixture_connect(fixture->conninfo);
    fixture_exec(other, "BEGIN; SELECT latchkey.lock('far/1')");
    host_submit(host, workflow, "{\"id\":1}", &outcome);
    turn_until(state, fixture->sql, somebody_waits_for_advice);
    host_stop(host);
    assert_outcome(&outcome, STATUS_FAILED, "the host stopped");
    PQfinish(other);
    assert_nothing_held(fixture);
}

/* Between two activities that commit by themselves: the later one waits for its lock. */
static void those_between_two_activities(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *host = start(state);
    struct workflow *workflow =
        host_publish(host, FLOW STEP("a", "{\"counter\", input.id}", FLOW_TO("b"))
                               STEP("b", "{\"far\", input.id}", ""));
    PGconn *other = fixture_connect(fixture->conninfo);
    fixture_exec(other, "BEGIN; SELECT latchkey.lock('far/1')");
    host_submit(host, workflow, "{\"id\":1}", &outcome);
    turn_until(state, fixture->sql, somebody_waits_for_advice);
    host_stop(host);
    assert_outcome(&outcome, STATUS_FAILED, "the host stopped");
    assert_sql_text(fixture, "SELECT activity || ' ' || status FROM latchkey.instance",
                    "b running");
    /* another host goes on, once it is sure */
    struct runtime_options options = runtime_fixture_options(fixture);
    options.ownership_us = 1000 * 1000;
    host = host_start(fixture, &options);
    host_work(host);
    PQfinish(other);
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM latchkey.instance WHERE status = 'completed'", 1);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 2);
    host_stop(host);
}

/* The second caller with a key stands aside while the first one runs elsewhere. */
static void those_who_stand_aside(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome first, second;
    struct host *one = start(state);
    struct runtime_options options = runtime_fixture_options(fixture);
    struct host *two = host_start(fixture, &options);
    const char yaml[] = FLOW STEP("a", "{\"counter\", input.id}",
                                  FLOW_TO("b")) "  b:\n"
                                                "    script: |\n"
                                                "      while sql('select n from far where id = "
                                                "9')[1].n == 0 do sleep(0.02) end\n";
    host_submit_keyed(one, host_publish(one, yaml), "{\"id\":1}", "k", &first);
    turn_until(state, fixture->sql, "SELECT count(*) FROM latchkey.instance");
    host_submit_keyed(two, host_publish(two, yaml), "{\"id\":1}", "k", &second);
    runtime_fixture_turn(fixture, 250);
    assert_false(second.told);
    host_stop(two);
    assert_outcome(&second, STATUS_FAILED, "the host stopped");
    fixture_exec(fixture->sql, "UPDATE far SET n = 1 WHERE id = 9");
    runtime_fixture_wait(fixture);
    assert_outcome(&first, STATUS_COMPLETED, "");
    host_stop(one);
}

/* Who follows a key waits for the instance that stopped, which waits for its lock. */
static void those_who_follow_a_key(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome first, second;
    struct host *host = start(state);
    struct workflow *workflow =
        host_publish(host, FLOW STEP("a", "{\"counter\", input.id}", FLOW_TO("b"))
                               STEP("b", "{\"far\", input.id}", "    guard: data.row.n > 5\n"));
    host_submit_keyed(host, workflow, "{\"id\":1}", "k", &first);
    runtime_fixture_wait(fixture);
    assert_outcome(&first, STATUS_BLOCKED, "");
    PGconn *other = fixture_connect(fixture->conninfo);
    fixture_exec(other, "BEGIN; SELECT latchkey.lock('far/1')");
    host_submit_keyed(host, workflow, "{\"id\":1}", "k", &second);
    turn_until(state, fixture->sql, somebody_waits_for_advice);
    host_stop(host);
    assert_outcome(&second, STATUS_FAILED, "the host stopped");
    PQfinish(other);
}

static void those_whose_instance_is_looked_up(void **state)
{
    struct outcome outcome, told[2];
    struct host *host = start(state);
    struct workflow *workflow =
        host_publish(host, FLOW STEP("a", "{\"counter\", input.id}", "    wait-for: go\n"));
    host_submit(host, workflow, "{\"id\":1}", &outcome);
    runtime_fixture_wait(*state);
    lock_table(state, "latchkey.instance");
    host_deliver(host, outcome.id, "go", NULL, &told[0]);
    host_deliver(host, outcome.id, NULL, NULL, &told[1]);
    stop_while_locked(state, host, told, 2, STATUS_FAILED);
    host = start(state);
    host_deliver(host, "nothing", "go", NULL, &told[0]); /* known at once, told later */
    host_stop(host);
    assert_true(told[0].told);
}

/* The definition of the instance is not known here yet. */
static void those_whose_definition_is_loaded(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome, told;
    struct runtime_options options = runtime_fixture_options(fixture);
    struct host *one = start(state), *two = host_start(fixture, &options);
    host_submit(one,
                host_publish(one, FLOW STEP("a", "{\"counter\", input.id}", "    wait-for: go\n")),
                "{\"id\":1}", &outcome);
    runtime_fixture_wait(fixture);
    lock_table(state, "latchkey.definition");
    host_deliver(two, outcome.id, "go", NULL, &told);
    stop_while_locked(state, two, &told, 1, STATUS_FAILED);
    host_stop(one);
}

static void those_who_are_queued(void **state)
{
    struct outcome outcomes[4];
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, PLAIN);
    lock_table(state, "latchkey.job");
    for (int i = 0; i < 4; i++)
        host_enqueue(host, workflow, "{\"id\":1}", 0, &outcomes[i]);
    stop_while_locked(state, host, outcomes, 4, STATUS_UNKNOWN);
    host = start(state);
    workflow = host_publish(host, PLAIN);
    for (int i = 0; i < 4; i++)
        host_enqueue(host, workflow, i % 2 ? "{\"id\":1}" : "{}", 0, &outcomes[i]);
    host_stop(host);
    assert_true(outcomes[0].told && outcomes[1].told && outcomes[2].told && outcomes[3].told);
}

/* While jobs are claimed, while their definition is loaded, while they run, while their end is
 * written. */
static void jobs_are_left_to_others(void **state)
{
    static const char *const tables_locked[] = {"latchkey.job", "latchkey.definition", "counter",
                                                "latchkey.execution"};
    for (int i = 0; i < 4; i++) {
        struct runtime_fixture *fixture = *state;
        struct runtime_options options = runtime_fixture_options(fixture);
        struct outcome outcomes[3];
        struct host *host = start(state), *worker;
        struct workflow *workflow = host_publish(host, PLAIN);
        options.ownership_us = 1000 * 1000;
        for (int j = 0; j < 3; j++)
            host_enqueue(host, workflow, "{\"id\":1}", 0, &outcomes[j]);
        runtime_fixture_wait(fixture);
        worker = host_start(fixture, &options);
        lock_table(state, tables_locked[i]);
        host_work(worker);
        turn_until(state, fixture->sql, somebody_waits);
        host_stop(worker);
        fixture_exec(fixture->sql, "ROLLBACK");
        worker = host_start(fixture, &options);
        host_work(worker);
        runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job", 0);
        assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 3);
        assert_sql_int(fixture, "SELECT count(*) FROM latchkey.execution", 3);
        host_stop(worker);
        host_stop(host);
    }
}

int flow_stop_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_whose_lock_is_looked_for),
        cmocka_unit_test(those_in_a_chain),
        cmocka_unit_test(those_that_begin_a_chain_again),
        cmocka_unit_test(those_between_two_activities),
        cmocka_unit_test(those_who_stand_aside),
        cmocka_unit_test(those_who_follow_a_key),
        cmocka_unit_test(those_whose_instance_is_looked_up),
        cmocka_unit_test(those_whose_definition_is_loaded),
        cmocka_unit_test(those_who_are_queued),
        cmocka_unit_test(jobs_are_left_to_others),
    };
    return cmocka_run_group_tests_name("flow_stop", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
