/* Workflows of several activities: where they go, what they keep, who may go on with them. */
#include "flow_text.h"
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char tables[] = FLOW_TABLES_CHECKED;

static struct host *start(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = runtime_fixture_options(fixture);
    runtime_fixture_tables(fixture, tables);
    return host_start(fixture, &options);
}

static struct host *another(void **state)
{
    struct runtime_options options = runtime_fixture_options(*state);
    return host_start(*state, &options);
}

/* ---- navigation ---- */

static void the_first_true_rule_is_taken(void **state)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(host,
                                      FLOW FLOW_ADD("a", "1",
                                                    "    navigation:\n"
                                                    "      - {to: c, rule: data.row.n > 1}\n"
                                                    "      - {to: b, rule: data.row.n == 1}\n"
                                                    "      - {to: c}\n") FLOW_ADD("b", "10", "")
                                          FLOW_ADD("c", "100", ""),
                                      "{\"id\":1}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.activity, "b");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 11);
    assert_sql_text(*state,
                    "SELECT string_agg(activity || ' ' || status, ', ' ORDER BY finished_at) "
                    "FROM latchkey.execution",
                    "a completed, b completed");
    assert_sql_text(*state,
                    "SELECT activity || ' ' || status || ' ' || steps || ' ' || state_version "
                    "FROM latchkey.instance",
                    "b completed 2 2");
    host_stop(host);
}

static void without_a_true_rule_the_workflow_ends(void **state)
{
    struct host *host = start(state);
    struct outcome outcome =
        host_run(host,
                 FLOW FLOW_ADD("a", "1", "    navigation: [{to: b, rule: 'false'}]\n")
                     FLOW_ADD("b", "10", ""),
                 "{\"id\":1}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 1);
    host_stop(host);
}

static void a_rule_that_raises_keeps_nothing(void **state)
{
    struct host *host = start(state);
    struct outcome outcome =
        host_run(host,
                 FLOW FLOW_ADD("a", "1", "    navigation: [{to: b, rule: input.x.y}]\n")
                     FLOW_ADD("b", "10", ""),
                 "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "test.yaml:12:");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 0);
    host_stop(host);
}

static void a_loop_ends_at_max_steps(void **state)
{
    struct host *host = start(state);
    struct outcome outcome =
        host_run(host, "max-steps: 5\n" FLOW FLOW_ADD("a", "1", FLOW_TO("a")), "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "max-steps");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 5);
    assert_sql_text(*state, "SELECT status || ' ' || steps FROM latchkey.instance", "failed 5");
    host_stop(host);
}

static void vars_and_output_go_along(void **state)
{
    struct host *host = start(state);
    struct outcome outcome =
        host_run(host,
                 FLOW "  a:\n"
                      "    script: |\n"
                      "      vars.seen = {data.row.id, 'x'}\n"
                      "      output.first = true\n" FLOW_TO(
                          "b") "  b:\n"
                               "    guard: vars.seen[2] == 'x'\n"
                               "    script: \"vars = {last = #vars.seen}\"\n" FLOW_TO(
                                   "c") "  c:\n"
                                        "    script: output.last = vars.last\n",
                 "{\"id\":3}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "{\"last\":2}");
    assert_sql_text(*state, "SELECT vars::text FROM latchkey.instance", "{\"last\": 2}");
    host_stop(host);
}

static void a_guard_changes_no_vars(void **state)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(host,
                                      FLOW "  a:\n"
                                           "    guard: |\n"
                                           "      vars.x = 1\n"
                                           "      return true\n"
                                           "    script: output.x = vars.x == nil\n",
                                      "{\"id\":3}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "{\"x\":true}");
    host_stop(host);
}

static void vars_are_an_object(void **state)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(host, FLOW "  a: {script: 'vars = {1, 2}'}\n", "{\"id\":3}");
    assert_outcome(&outcome, STATUS_FAILED, "vars is not a table of names");
    host_stop(host);
}

static void many_runs_share_batches_through_all_their_activities(void **state)
{
    enum { N = 300 };
    static struct outcome outcomes[N];
    struct host *host = start(state);
    struct workflow *workflow =
        host_publish(host, "history: none\n" FLOW FLOW_ADD("a", "1", FLOW_TO("b"))
                               FLOW_ADD("b", "1", FLOW_TO("c")) FLOW_ADD("c", "1", ""));
    for (int i = 0; i < N; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"id\":%d}", 1 + i % 10);
    runtime_fixture_wait(*state);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N);
    assert_sql_int(*state, "SELECT sum(n) FROM counter", (int64_t)3 * N);
    /* a workflow without history, never idle: its rows are gone at the end */
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.instance", 0);
    assert_nothing_held(*state);
    host_stop(host);
}

/* ---- what stops on the way ---- */

static void what_fails_later_stays_at_its_last_commit_point(void **state)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(host,
                                      FLOW FLOW_ADD("a", "1", FLOW_TO("b"))
                                          FLOW_ADD("b", "10", "    guard: data.row.n < 1\n"),
                                      "{\"id\":1}");
    assert_outcome(&outcome, STATUS_BLOCKED, "the guard said no");
    assert_sql_text(*state,
                    "SELECT concat_ws(' ', activity, status, reason, process) "
                    "FROM latchkey.instance",
                    "b blocked the guard said no");

    fixture_exec(((struct runtime_fixture *)*state)->sql, "UPDATE counter SET n = 0");
    struct outcome resumed;
    host_deliver(host, outcome.id, NULL, NULL, &resumed);
    runtime_fixture_wait(*state);
    assert_outcome(&resumed, STATUS_COMPLETED, "");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 10);

    host_deliver(host, outcome.id, NULL, NULL, &resumed);
    runtime_fixture_wait(*state);
    assert_outcome(&resumed, STATUS_BLOCKED, "it is completed");
    host_stop(host);
}

static void what_found_no_lock_later_goes_on_by_a_job(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    PGconn *other = fixture_connect(fixture->conninfo);
    fixture_exec(other, "BEGIN");
    struct workflow *workflow = host_publish(
        host, FLOW FLOW_ADD("a", "1", FLOW_TO("b")) "  b:\n"
                                                    "    enable-exclusive-lock: true\n"
                                                    "    acquire-timeout: 200ms\n"
                                                    "    lock-context: '{\"other\", input.id}'\n"
                                                    "    script: data.row.n = data.row.n + 10\n");
    fixture_exec(other, "SELECT latchkey.lock('other/1')");
    struct outcome outcome;
    host_submit(host, workflow, "{\"id\":1}", &outcome);
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_LOCKED, "");
    assert_sql_text(fixture,
                    "SELECT concat_ws(' ', activity, status, process) FROM latchkey.instance",
                    "b running");
    assert_sql_text(fixture,
                    "SELECT kind || ' ' || (instance = (SELECT id FROM latchkey.instance)) "
                    "FROM latchkey.job",
                    "resume true");
    PQfinish(other);
    host_stop(host);
}

static void a_failure_is_tried_again_as_often_as_said(void **state)
{
    struct host *host = start(state);
    struct outcome outcome =
        host_run(host, FLOW "  a:\n    retries: 2\n    script: fail('no luck')\n", "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "no luck");
    assert_int_equal(outcome.attempts, 3);
    host_stop(host);
}

/* ---- events ---- */

#define WAITING                                                                                    \
    FLOW FLOW_ADD("a", "1", FLOW_TO("b"))                                                          \
        FLOW_ADD("b", "10",                                                                        \
                 "    wait-for: paid\n"                                                            \
                 "    guard: event.payload.amount > 0\n" FLOW_TO("c"))                             \
            FLOW_ADD("c", "100", "    wait-for: closed\n")

static void an_event_moves_an_idle_instance_on(void **state)
{
    struct outcome outcome, told;
    struct host *one = start(state), *two = another(state);
    outcome = host_run(one, WAITING, "{\"id\":1}");
    assert_outcome(&outcome, STATUS_IDLE, "");
    assert_sql_text(*state,
                    "SELECT concat_ws(' ', activity, status, wait_for, process) "
                    "FROM latchkey.instance",
                    "b idle paid");

    host_deliver(two, outcome.id, "closed", NULL, &told);
    runtime_fixture_wait(*state);
    assert_outcome(&told, STATUS_BLOCKED,
                   "it is idle before activity 'b' and waits for event 'paid'");

    host_deliver(two, outcome.id, "paid", "{\"amount\": 0}", &told);
    runtime_fixture_wait(*state);
    assert_outcome(&told, STATUS_BLOCKED, "the guard said no");
    assert_sql_text(*state, "SELECT status || ' ' || wait_for FROM latchkey.instance", "idle paid");

    host_deliver(two, outcome.id, "paid", "{\"amount\": 3}", &told);
    runtime_fixture_wait(*state);
    assert_outcome(&told, STATUS_IDLE, "");
    assert_string_equal(told.id, outcome.id);

    host_deliver(one, outcome.id, "closed", NULL, &told);
    runtime_fixture_wait(*state);
    assert_outcome(&told, STATUS_COMPLETED, "");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 111);

    host_deliver(two, outcome.id, "paid", "{\"amount\": 3}", &told);
    runtime_fixture_wait(*state);
    assert_outcome(&told, STATUS_BLOCKED, "it is completed");
    host_stop(one);
    host_stop(two);
}

static void an_event_comes_once(void **state)
{
    enum { N = 20 };
    static struct outcome told[N];
    struct host *one = start(state), *two = another(state);
    struct outcome outcome = host_run(one, WAITING, "{\"id\":1}");
    for (int i = 0; i < N; i++)
        host_deliver(i % 2 ? one : two, outcome.id, "paid", "{\"amount\": 3}", &told[i]);
    runtime_fixture_wait(*state);
    assert_int_equal(count_outcomes(told, N, STATUS_IDLE), 1);
    assert_int_equal(count_outcomes(told, N, STATUS_BLOCKED), N - 1);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 11);
    host_stop(one);
    host_stop(two);
}

static void an_instance_may_wait_from_the_start(void **state)
{
    struct outcome told;
    struct host *host = start(state);
    struct outcome outcome =
        host_run(host, FLOW FLOW_ADD("a", "1", "    wait-for: go\n"), "{\"id\":1}");
    assert_outcome(&outcome, STATUS_IDLE, "");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 0);
    host_deliver(host, outcome.id, "go", NULL, &told);
    runtime_fixture_wait(*state);
    assert_outcome(&told, STATUS_COMPLETED, "");
    assert_sql_text(*state, "SELECT status || ' ' || steps FROM latchkey.instance", "completed 1");
    host_stop(host);
}

static void an_instance_that_is_not_there_is_missing(void **state)
{
    struct outcome told[2];
    struct host *host = start(state);
    host_deliver(host, "01234567-89ab-7cde-8f01-23456789abcd", "go", NULL, &told[0]);
    host_deliver(host, "no id", "go", NULL, &told[1]);
    runtime_fixture_wait(*state);
    assert_outcome(&told[0], STATUS_MISSING, "no such instance");
    assert_outcome(&told[1], STATUS_MISSING, "not a UUID");
    host_stop(host);
}

/* ---- compare and set ---- */

/* Between its look-up and its lock somebody else changes the instance. */
static void a_stale_caller_overwrites_nothing(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome told;
    struct host *host = start(state);
    struct outcome outcome = host_run(host, WAITING, "{\"id\":1}");
    PGconn *other = fixture_connect(fixture->conninfo);
    char sql[300];
    fixture_exec(other, "BEGIN");
    snprintf(sql, sizeof sql, "SELECT latchkey.lock('$instance/%s')", outcome.id);
    fixture_exec(other, sql);
    host_deliver(host, outcome.id, "paid", "{\"amount\": 3}", &told);
    runtime_fixture_turn(fixture, 300);
    assert_false(told.told);
    fixture_exec(other, "UPDATE latchkey.instance SET status = 'completed', wait_for = NULL, "
                        "state_version = state_version + 1");
    fixture_exec(other, "COMMIT");
    runtime_fixture_wait(fixture);
    assert_outcome(&told, STATUS_BLOCKED, "it is completed");
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 1);
    assert_sql_text(fixture, "SELECT status FROM latchkey.instance", "completed");
    PQfinish(other);
    host_stop(host);
}

/* The same, but the changed instance still takes the event. */
static void an_event_is_delivered_to_the_changed_instance(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome told;
    struct host *host = start(state);
    struct outcome outcome = host_run(host, WAITING, "{\"id\":1}");
    PGconn *other = fixture_connect(fixture->conninfo);
    char sql[300];
    fixture_exec(other, "BEGIN");
    snprintf(sql, sizeof sql, "SELECT latchkey.lock('$instance/%s')", outcome.id);
    fixture_exec(other, sql);
    host_deliver(host, outcome.id, "paid", "{\"amount\": 3}", &told);
    runtime_fixture_turn(fixture, 300);
    fixture_exec(other, "UPDATE latchkey.instance SET vars = '{\"x\": 7}', "
                        "state_version = state_version + 1");
    fixture_exec(other, "COMMIT");
    runtime_fixture_wait(fixture);
    assert_outcome(&told, STATUS_IDLE, "");
    assert_sql_text(fixture, "SELECT vars::text FROM latchkey.instance", "{\"x\": 7}");
    PQfinish(other);
    host_stop(host);
}

/* Another host takes the instance over while its activity runs: the late one saves nothing. */
static void who_lost_the_instance_cannot_save(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *host = start(state);
    fixture_exec(fixture->sql, "CREATE TABLE gate (is_open boolean)");
    struct workflow *workflow = host_publish(
        host, FLOW FLOW_ADD("a", "1", FLOW_TO("b")) "  b:\n"
                                                    "    script: |\n"
                                                    "      while #sql('select from gate') == 0 do\n"
                                                    "        sleep(0.02)\n"
                                                    "      end\n"
                                                    "      data.row.n = data.row.n + 10\n");
    host_submit(host, workflow, "{\"id\":1}", &outcome);
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM latchkey.instance WHERE status = 'running'", 1);
    runtime_fixture_turn(fixture, 100);
    fixture_exec(fixture->sql, "UPDATE latchkey.instance SET state_version = state_version + 1, "
                               "process = '01234567-89ab-7cde-8f01-23456789abcd'");
    fixture_exec(fixture->sql, "INSERT INTO gate VALUES (true)");
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_BLOCKED, "the instance was taken over: it is running");
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 1);
    assert_sql_text(fixture, "SELECT status || ' ' || process FROM latchkey.instance",
                    "running 01234567-89ab-7cde-8f01-23456789abcd");
    host_stop(host);
}

/* Each event of many, from two hosts, moves the instance once or is told that it did not. */
static void many_events_meet_the_true_state(void **state)
{
    enum { N = 30 };
    static struct outcome told[N];
    struct host *one = start(state), *two = another(state);
    struct outcome outcome =
        host_run(one,
                 FLOW FLOW_ADD("a", "1", FLOW_TO("b"))
                     FLOW_ADD("b", "10",
                              "    wait-for: paid\n"
                              "    navigation:\n"
                              "      - {to: c, rule: event.payload.i % 3 == 0}\n"
                              "      - {to: b}\n")
                         FLOW_ADD("c", "100", "    wait-for: closed\n" FLOW_TO("b")),
                 "{\"id\":1}");
    char payload[40];
    for (int i = 0; i < N; i++) {
        snprintf(payload, sizeof payload, "{\"i\": %d}", i);
        host_deliver(i % 2 ? one : two, outcome.id, i % 5 ? "paid" : "closed", payload, &told[i]);
        if (i % 4 == 0)
            runtime_fixture_turn(*state, 5);
    }
    runtime_fixture_wait(*state);
    int n = 1, n_moves = 0;
    for (int i = 0; i < N; i++) {
        assert_true(told[i].status == STATUS_IDLE || told[i].status == STATUS_BLOCKED);
        if (told[i].status != STATUS_IDLE)
            continue;
        n_moves++;
        n += i % 5 ? 10 : 100;
    }
    assert_true(n_moves > 1);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", n);
    assert_sql_int(*state, "SELECT state_version FROM latchkey.instance", 1 + n_moves);
    assert_sql_int(*state, "SELECT steps FROM latchkey.instance", 1 + n_moves);
    host_stop(one);
    host_stop(two);
}

int instance_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_true_rule_is_taken),
        cmocka_unit_test(without_a_true_rule_the_workflow_ends),
        cmocka_unit_test(a_rule_that_raises_keeps_nothing),
        cmocka_unit_test(a_loop_ends_at_max_steps),
        cmocka_unit_test(vars_and_output_go_along),
        cmocka_unit_test(a_guard_changes_no_vars),
        cmocka_unit_test(vars_are_an_object),
        cmocka_unit_test(many_runs_share_batches_through_all_their_activities),
        cmocka_unit_test(what_fails_later_stays_at_its_last_commit_point),
        cmocka_unit_test(what_found_no_lock_later_goes_on_by_a_job),
        cmocka_unit_test(a_failure_is_tried_again_as_often_as_said),
        cmocka_unit_test(an_event_moves_an_idle_instance_on),
        cmocka_unit_test(an_event_comes_once),
        cmocka_unit_test(an_instance_may_wait_from_the_start),
        cmocka_unit_test(an_instance_that_is_not_there_is_missing),
        cmocka_unit_test(a_stale_caller_overwrites_nothing),
        cmocka_unit_test(an_event_is_delivered_to_the_changed_instance),
        cmocka_unit_test(who_lost_the_instance_cannot_save),
        cmocka_unit_test(many_events_meet_the_true_state),
    };
    return cmocka_run_group_tests_name("instance", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
