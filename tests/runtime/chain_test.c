/* Activities without auto-commit: committed together, their locks kept, none waited for while
 * others are held. */
#include "flow_text.h"
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char tables[] = FLOW_TABLES_CHECKED "CREATE TABLE seen (n integer);";

#define HEAD                                                                                       \
    FLOW_OF("chain", "", ", other: integer", "  far: {table: counter, key: {id: input.other}}\n")

#define TWO                                                                                        \
    HEAD FLOW_STEP("a", "{\"counter\", input.id}", FLOW_OFF FLOW_TO("b"),                          \
                   "data.row.n = data.row.n + 1 vars.a = data.row.n "                              \
                   "output.a = 1")                                                                 \
        FLOW_STEP("b", "{\"counter\", input.other}", "",                                           \
                  "data.far.n = data.far.n + 10 * vars.a output.b = data.row.n")

static struct host *start(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = runtime_fixture_options(fixture);
    runtime_fixture_tables(fixture, tables);
    return host_start(fixture, &options);
}

static void a_chain_commits_as_one(void **state)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(host, TWO, "{\"id\":1,\"other\":2}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.activity, "b");
    assert_string_equal(outcome.paths, "counter/2");
    assert_string_equal(outcome.output, "{\"b\":1}");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM counter WHERE id < 3",
                    "1 10");
    assert_sql_text(*state,
                    "SELECT string_agg(activity || ' ' || status || ' ' || paths[1], ', ' "
                    "ORDER BY activity) FROM latchkey.execution",
                    "a completed counter/1, b completed counter/2");
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.commit_mark", 1);
    assert_sql_text(*state,
                    "SELECT status || ' ' || steps || ' ' || state_version "
                    "FROM latchkey.instance",
                    "completed 2 1");
    assert_nothing_held(*state);
    host_stop(host);
}

/* Until the commit nobody sees the change and nobody gets the lock. */
static void the_first_lock_is_kept_until_the_commit(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *host = start(state);
    struct workflow *workflow = host_publish(
        host,
        HEAD FLOW_STEP("a", "{\"counter\", input.id}", FLOW_OFF FLOW_TO("b"), "data.row.n = 1")
            FLOW_STEP("b", "{\"counter\", input.other}", "", "sleep(0.5) data.far.n = 1"));
    host_submit(host, workflow, "{\"id\":1,\"other\":2}", &outcome);
    runtime_fixture_turn(fixture, 300);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 0);
    assert_sql_int(fixture, "SELECT pg_try_advisory_lock(latchkey.lock_key('counter/1'))::integer",
                   0);
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_int(fixture, "SELECT sum(n) FROM counter", 2);
    host_stop(host);
}

static void what_fails_in_a_chain_keeps_nothing_of_it(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    struct outcome outcome =
        host_run(host,
                 HEAD FLOW_STEP("a", "{\"counter\", input.id}", FLOW_OFF FLOW_TO("b"),
                                "data.row.n = 1 emit('x')")
                     FLOW_STEP("b", "{\"counter\", input.other}", "", "fail('no')"),
                 "{\"id\":1,\"other\":2}");
    assert_outcome(&outcome, STATUS_FAILED, "no");
    assert_string_equal(outcome.activity, "b");
    outcome = host_run(
        host,
        HEAD FLOW_STEP("a", "{\"counter\", input.id}", FLOW_OFF FLOW_TO("b"), "data.row.n = 1")
            FLOW_STEP("b", "{\"counter\", input.other}", "    guard: data.row.n > 1\n", ""),
        "{\"id\":1,\"other\":2}");
    assert_outcome(&outcome, STATUS_BLOCKED, "");
    outcome = host_run(
        host,
        HEAD FLOW_STEP("a", "{\"counter\", input.id}", FLOW_OFF FLOW_TO("b"), "data.row.n = 1")
            FLOW_STEP("b", "{\"counter\", input.other}", "", "data.far.n = 5000"),
        "{\"id\":1,\"other\":2}");
    assert_outcome(&outcome, STATUS_FAILED, "check constraint");
    outcome = host_run(
        host,
        HEAD FLOW_STEP("a", "{\"counter\", input.id}", FLOW_OFF FLOW_TO("b"), "data.row.n = 5000")
            FLOW_STEP("b", "{\"counter\", input.other}", "", ""),
        "{\"id\":1,\"other\":2}");
    assert_outcome(&outcome, STATUS_FAILED, "check constraint");
    assert_sql_int(fixture, "SELECT sum(n) FROM counter", 0);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.instance", 0);
    assert_nothing_held(fixture);
    host_stop(host);
}

/* Two chains in opposite orders would deadlock if they waited; refused, each takes both at once. */
static void chains_in_opposite_orders_do_not_deadlock(void **state)
{
    enum { N = 30 };
    static struct outcome outcomes[N];
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = runtime_fixture_options(fixture);
    struct host *one = start(state), *two = host_start(fixture, &options);
    const char yaml[] = HEAD FLOW_STEP("a", "{\"counter\", input.id}", FLOW_OFF FLOW_TO("b"),
                                       "sleep(0.005) data.row.n = data.row.n + 1")
        FLOW_STEP("b", "{\"counter\", input.other}", "", "data.far.n = data.far.n + 1");
    struct workflow *here = host_publish(one, yaml), *there = host_publish(two, yaml);
    for (int i = 0; i < N; i++)
        host_submit(i % 2 ? one : two, i % 2 ? here : there,
                    i % 3 ? "{\"id\":1,\"other\":2}" : "{\"id\":2,\"other\":1}", &outcomes[i]);
    runtime_fixture_wait(fixture);
    for (int i = 0; i < N; i++)
        assert_outcome(&outcomes[i], STATUS_COMPLETED, "");
    assert_sql_int(fixture, "SELECT sum(n) FROM counter", 2 * N);
    assert_nothing_held(fixture);
    host_stop(one);
    host_stop(two);
}

/* The second lock is held by a stranger: the chain lets go of the first while it waits. */
static void a_refused_chain_holds_nothing_while_it_waits(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *host = start(state);
    PGconn *other = fixture_connect(fixture->conninfo);
    struct workflow *workflow = host_publish(host, TWO);
    fixture_exec(other, "BEGIN; SELECT latchkey.lock('counter/2')");
    host_submit(host, workflow, "{\"id\":1,\"other\":2}", &outcome);
    runtime_fixture_turn(fixture, 500);
    assert_false(outcome.told);
    /* the one lock a waiter may hold is on the path that sorts first; it has saved nothing */
    fixture_exec(other, "UPDATE counter SET n = 5 WHERE id = 1");
    fixture_exec(other, "COMMIT");
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_true(outcome.attempts > 1);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 6);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 2", 60);
    PQfinish(other);
    host_stop(host);
}

static void a_chain_that_gets_no_lock_is_locked(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *host = start(state);
    PGconn *other = fixture_connect(fixture->conninfo);
    struct workflow *workflow = host_publish(
        host, HEAD FLOW_STEP(
                  "a", "{\"counter\", input.id}",
                  "    waiting-timeout: 300ms\n    acquire-timeout: 300ms\n" FLOW_OFF FLOW_TO("b"),
                  "data.row.n = 1") FLOW_STEP("b", "{\"counter\", input.other}", "", ""));
    fixture_exec(other, "BEGIN; SELECT latchkey.lock('counter/2')");
    host_submit(host, workflow, "{\"id\":1,\"other\":2}", &outcome);
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_LOCKED, "a lock of activity 'b' was not free");
    assert_sql_int(fixture, "SELECT sum(n) FROM counter", 0);
    PQfinish(other);
    host_stop(host);
}

static void a_later_activity_may_end_sooner(void **state)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(
        host,
        HEAD FLOW_STEP("a", "{\"counter\", input.id}", FLOW_OFF FLOW_TO("b"), "data.row.n = 1")
            FLOW_STEP("b", "{\"counter\", input.other}", "    waiting-timeout: 200ms\n",
                      "sleep(5)"),
        "{\"id\":1,\"other\":2}");
    assert_outcome(&outcome, STATUS_EXPIRED, "");
    assert_true(outcome.held_us < 4500000);
    assert_sql_int(*state, "SELECT sum(n) FROM counter", 0);
    host_stop(host);
}

static void the_end_and_idling_are_commit_points(void **state)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(
        host,
        HEAD FLOW_STEP("a", "{\"counter\", input.id}", FLOW_OFF FLOW_TO("b"), "data.row.n = 1")
            FLOW_STEP("b", "{\"counter\", input.other}", FLOW_OFF FLOW_TO("c"), "data.far.n = 1")
                FLOW_STEP("c", "{\"counter\", input.other}", "    wait-for: go\n", ""),
        "{\"id\":1,\"other\":2}");
    assert_outcome(&outcome, STATUS_IDLE, "");
    assert_sql_int(*state, "SELECT sum(n) FROM counter", 2);
    outcome =
        host_run(host, HEAD FLOW_STEP("a", "{\"counter\", input.id}", FLOW_OFF, "data.row.n = 5"),
                 "{\"id\":1,\"other\":2}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 5);
    host_stop(host);
}

static void closing_may_be_a_commit_point(void **state)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(
        host,
        HEAD FLOW_STEP("a", "{\"counter\", input.id}",
                       FLOW_OFF "    persist-on-close: true\n" FLOW_TO("b"), "data.row.n = 1")
            FLOW_STEP("b", "{\"counter\", input.other}", "", "fail('no')"),
        "{\"id\":1,\"other\":2}");
    assert_outcome(&outcome, STATUS_FAILED, "no");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 1);
    assert_sql_text(*state, "SELECT activity || ' ' || status FROM latchkey.instance", "b failed");
    host_stop(host);
}

static void the_data_name_the_lock_of_a_later_activity(void **state)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(
        host,
        HEAD FLOW_STEP("a", "{\"counter\", input.id}", FLOW_OFF FLOW_TO("b"), "data.row.n = 7")
            FLOW_STEP("b", "{\"counter\", data.row.n}", "", "data.far.n = 1"),
        "{\"id\":1,\"other\":2}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.paths, "counter/7");
    host_stop(host);
}

/* Its row is changed by somebody without the lock, before the chain saves it. */
static void change_under_a_chain(void **state, const char *yaml, struct outcome *outcome)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    host_submit(host, host_publish(host, yaml), "{\"id\":1,\"other\":2}", outcome);
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE "
                          "'latchkey%until%' AND state = 'idle in transaction'",
                          1);
    fixture_exec(fixture->sql, "UPDATE counter SET n = 100 WHERE id = 1");
    runtime_fixture_wait(fixture);
    assert_nothing_held(fixture);
    host_stop(host);
}

static void a_chain_whose_row_was_changed_begins_again(void **state)
{
    struct outcome outcome;
    change_under_a_chain(
        state,
        HEAD FLOW_STEP("a", "{\"counter\", input.id}", FLOW_OFF FLOW_TO("b"),
                       "vars.n = data.row.n sleep(0.5) data.row.n = data.row.n + 1")
            FLOW_STEP("b", "{\"counter\", input.other}", "", "data.far.n = vars.n"),
        &outcome);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM counter WHERE id < 3",
                    "101 100");
    assert_sql_int(*state, "SELECT steps FROM latchkey.instance", 2);
    change_under_a_chain(state,
                         HEAD FLOW_STEP("a", "{\"counter\", input.id}",
                                        FLOW_OFF FLOW_TO("b") "    on-conflict: fail\n",
                                        "sleep(0.5) data.row.n = data.row.n + 1")
                             FLOW_STEP("b", "{\"counter\", input.other}", "    on-conflict: fail\n",
                                       "data.far.n = 7"),
                         &outcome);
    assert_outcome(&outcome, STATUS_CONFLICT, "");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM counter WHERE id < 3",
                    "100 0");
}

static void what_is_tried_again_in_a_chain_begins_with_it(void **state)
{
    struct host *host = start(state);
    struct outcome outcome =
        host_run(host,
                 HEAD FLOW_STEP("a", "{\"counter\", input.id}", FLOW_OFF FLOW_TO("b"),
                                "vars.i = (vars.i or 0) + 1 data.row.n = data.row.n + vars.i")
                     FLOW_STEP("b", "{\"counter\", input.other}", "    retries: 2\n",
                               "fail('no ' .. vars.i .. ' ' .. data.row.n)"),
                 "{\"id\":1,\"other\":2}");
    assert_outcome(&outcome, STATUS_FAILED, "no 1 1");
    assert_int_equal(outcome.attempts, 3);
    assert_sql_int(*state, "SELECT sum(n) FROM counter", 0);
    host_stop(host);
}

static void a_chain_that_begins_again_has_its_event(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome, told;
    struct host *host = start(state);
    PGconn *other = fixture_connect(fixture->conninfo);
    outcome = host_run(host,
                       HEAD FLOW_STEP("a", "{\"counter\", input.id}",
                                      "    wait-for: go\n" FLOW_OFF FLOW_TO("b"),
                                      "data.row.n = data.row.n + event.payload.n")
                           FLOW_STEP("b", "{\"counter\", input.other}", "",
                                     "data.far.n = data.row.n output.e = event == nil"),
                       "{\"id\":1,\"other\":2}");
    assert_outcome(&outcome, STATUS_IDLE, "");
    fixture_exec(other, "BEGIN; SELECT latchkey.lock('counter/2')");
    host_deliver(host, outcome.id, "go", "{\"n\": 5}", &told);
    runtime_fixture_turn(fixture, 300);
    assert_false(told.told);
    fixture_exec(other, "COMMIT");
    runtime_fixture_wait(fixture);
    assert_outcome(&told, STATUS_COMPLETED, "");
    assert_true(told.attempts > 1);
    assert_string_equal(told.output, "{\"e\":true}");
    assert_sql_text(fixture,
                    "SELECT string_agg(n::text, ' ' ORDER BY id) FROM counter WHERE id < 3", "5 5");
    PQfinish(other);
    host_stop(host);
}

int chain_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_commits_as_one),
        cmocka_unit_test(the_first_lock_is_kept_until_the_commit),
        cmocka_unit_test(what_fails_in_a_chain_keeps_nothing_of_it),
        cmocka_unit_test(chains_in_opposite_orders_do_not_deadlock),
        cmocka_unit_test(a_refused_chain_holds_nothing_while_it_waits),
        cmocka_unit_test(a_chain_that_gets_no_lock_is_locked),
        cmocka_unit_test(a_later_activity_may_end_sooner),
        cmocka_unit_test(the_end_and_idling_are_commit_points),
        cmocka_unit_test(closing_may_be_a_commit_point),
        cmocka_unit_test(the_data_name_the_lock_of_a_later_activity),
        cmocka_unit_test(a_chain_whose_row_was_changed_begins_again),
        cmocka_unit_test(what_is_tried_again_in_a_chain_begins_with_it),
        cmocka_unit_test(a_chain_that_begins_again_has_its_event),
    };
    return cmocka_run_group_tests_name("chain", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
