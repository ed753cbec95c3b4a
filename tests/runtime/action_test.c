/* Native actions: the contract of a script, in C. */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "action.h"
#include "text.h"

static const char tables[] =
    "CREATE TABLE counter (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0 CHECK (n < 1000),"
    " word text);"
    "INSERT INTO counter SELECT i FROM generate_series(1, 10) AS i;";

#define HEAD                                                                                       \
    "workflow: flow\n"                                                                             \
    "input: {id: integer}\n"                                                                       \
    "data:\n"                                                                                      \
    "  row: {table: counter, key: {id: input.id}}\n"                                               \
    "start: a\n"                                                                                   \
    "activities:\n"                                                                                \
    "  a:\n"                                                                                       \
    "    enable-exclusive-lock: true\n"                                                            \
    "    lock-context: '{\"counter\", input.id}'\n"

/* What the actions of a test saw and did. */
struct desk {
    int n_calls;
    int n_failures; /* of the first calls */
    int n_cancelled;
    struct action *held; /* by hold(), until the test ends it */
    bool end_when_cancelled;
    char said[512];
};

static bool add(struct action *action, const char *data, int row, int by, struct fault *fault)
{
    json_t *n;
    if (!action_get(action, data, row, "n", &n, fault))
        return false;
    json_t *sum = json_integer(json_integer_value(n) + by);
    bool ok = action_set(action, data, row, "n", sum, fault);
    json_decref(n);
    json_decref(sum);
    return ok;
}

static void end(struct action *action, bool ok, const struct fault *fault)
{
    if (ok)
        action_done(action);
    else
        action_fail(action, fault->text);
}

/* Adds one, tells what it knows in its output, and counts its calls in the vars. */
static void count(struct action *action, void *arg)
{
    struct desk *desk = arg;
    struct fault fault;
    desk->n_calls++;
    assert_int_equal(action_token(action), 0);
    assert_true(action_remaining_us(action) > 0);
    json_object_set_new(action_output(action), "activity", json_string(action_activity(action)));
    json_object_set(action_output(action), "id", json_object_get(action_input(action), "id"));
    json_object_set_new(action_vars(action), "calls", json_integer(desk->n_calls));
    bool ok = add(action, "row", 0, 1, &fault);
    if (ok && desk->n_calls <= desk->n_failures)
        ok = fault_set(&fault, FAULT_SCRIPT, "not yet");
    end(action, ok, &fault);
}

static void on_cancel(struct action *action, void *arg)
{
    struct desk *desk = arg;
    desk->n_cancelled++;
    assert_true(action_is_cancelled(action));
    assert_int_equal(action_remaining_us(action), 0);
    if (desk->end_when_cancelled) {
        desk->held = NULL;
        action_done(action);
    }
}

/* Adds one and stays, until the test says. */
static void hold(struct action *action, void *arg)
{
    struct desk *desk = arg;
    struct fault fault;
    desk->n_calls++;
    if (!add(action, "row", 0, 1, &fault)) {
        action_fail(action, fault.text);
        return;
    }
    action_on_cancel(action, on_cancel, desk);
    desk->held = action;
}

static struct host *start(void **state, struct desk *desk)
{
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = runtime_fixture_options(fixture);
    struct fault fault;
    *desk = (struct desk){0};
    runtime_fixture_tables(fixture, tables);
    struct host *host = host_start(fixture, &options);
    assert_true(runtime_register_action(host_runtime(host), "count", count, desk, &fault));
    assert_true(runtime_register_action(host_runtime(host), "hold", hold, desk, &fault));
    return host;
}

static void turn_until_held(struct runtime_fixture *fixture, struct desk *desk)
{
    for (int tries = 0; !desk->held && tries < 2000; tries++)
        runtime_fixture_turn(fixture, 10);
    assert_non_null(desk->held);
}

static void finish(struct desk *desk)
{
    struct action *action = desk->held;
    desk->held = NULL;
    action_done(action);
}

/* ---- what it does is kept ---- */

static void what_an_action_sets_is_saved_and_leads_on(void **state)
{
    struct desk desk;
    struct host *host = start(state, &desk);
    struct outcome outcome = host_run(host,
                                      HEAD "    action: count\n"
                                           "    navigation:\n"
                                           "      - {to: b, rule: vars.calls == 2}\n"
                                           "      - {to: a, rule: data.row.n == 1}\n"
                                           "  b: {script: 'output.b = vars.calls'}\n",
                                      "{\"id\":3}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.activity, "b");
    assert_string_equal(outcome.output, "{\"b\":2}");
    assert_int_equal(desk.n_calls, 2);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 3", 2);
    assert_sql_int(*state, "SELECT (vars ->> 'calls')::integer FROM latchkey.instance", 2);
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.execution WHERE activity = 'a'", 2);
    outcome = host_run(host, HEAD "    action: count\n", "{\"id\":4}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "{\"activity\":\"a\",\"id\":4}");
    assert_string_equal(outcome.paths, "counter/4");
    host_stop(host);
}

static void each_action_has_a_transaction_of_its_own(void **state)
{
    struct desk desk;
    struct outcome outcomes[30];
    struct host *host = start(state, &desk);
    struct workflow *workflow = host_publish(host, HEAD "    action: count\n");
    for (int i = 0; i < 30; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"id\":%d}", i % 3 + 1);
    runtime_fixture_wait(*state);
    assert_int_equal(count_outcomes(outcomes, 30, STATUS_COMPLETED), 30);
    assert_int_equal(desk.n_calls, 30);
    assert_sql_int(*state, "SELECT sum(n) FROM counter", 30);
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.commit_mark", 30);
    host_stop(host);
}

static void an_action_reads_its_event(void **state)
{
    struct desk desk;
    struct host *host = start(state, &desk);
    struct outcome sent,
        outcome = host_run(host, HEAD "    wait-for: go\n    action: hold\n", "{\"id\":1}");
    assert_outcome(&outcome, STATUS_IDLE, "");
    assert_int_equal(desk.n_calls, 0);
    host_deliver(host, outcome.id, "go", "{\"by\":7}", &sent);
    turn_until_held(*state, &desk);
    const json_t *payload = json_object_get(action_event(desk.held), "payload");
    assert_int_equal(json_integer_value(json_object_get(payload, "by")), 7);
    assert_string_equal(action_instance(desk.held), outcome.id);
    finish(&desk);
    runtime_fixture_wait(*state);
    assert_outcome(&sent, STATUS_COMPLETED, "");
    host_stop(host);
}

static void sum_list(struct action *action, void *arg)
{
    struct fault fault;
    bool ok = true;
    (void)arg;
    assert_int_equal(action_n_rows(action, "rows"), 3);
    assert_int_equal(action_n_rows(action, "maybe"), 0);
    assert_int_equal(action_n_rows(action, "other"), -1);
    for (int i = 0; ok && i < 3; i++)
        ok = add(action, "rows", i, 10 * (i + 1), &fault);
    end(action, ok, &fault);
}

static void an_action_works_on_lists(void **state)
{
    struct desk desk;
    struct fault fault;
    struct host *host = start(state, &desk);
    assert_true(runtime_register_action(host_runtime(host), "sum", sum_list, NULL, &fault));
    fixture_exec(((struct runtime_fixture *)*state)->sql,
                 "UPDATE counter SET word = 'x' WHERE id <= 3");
    struct outcome outcome =
        host_run(host,
                 "workflow: flow\ndata:\n"
                 "  rows: {table: counter, list: true, where: {word: '\"x\"'}, order-by: id}\n"
                 "  maybe: {table: counter, key: {id: '99'}, required: false}\n"
                 "start: a\nactivities:\n  a: {action: sum}\n",
                 "{}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM counter WHERE n > 0",
                    "10 20 30");
    host_stop(host);
}

/* ---- what it does is not kept ---- */

static void an_action_that_the_host_does_not_have_is_invalid(void **state)
{
    struct desk desk;
    struct host *host = start(state, &desk);
    struct outcome outcome = host_run(host, HEAD "    action: charge\n", "{\"id\":1}");
    assert_outcome(&outcome, STATUS_INVALID,
                   "test.yaml:10: action 'charge' is not registered with this host");
    host_stop(host);
    assert_nothing_held(*state);
}

static void a_guard_keeps_an_action_from_running(void **state)
{
    struct desk desk;
    struct host *host = start(state, &desk);
    struct outcome outcome =
        host_run(host, HEAD "    guard: data.row.n > 0\n    action: count\n", "{\"id\":1}");
    assert_outcome(&outcome, STATUS_BLOCKED, "");
    assert_int_equal(desk.n_calls, 0);
    host_stop(host);
}

static void a_failed_action_is_tried_again_and_keeps_nothing(void **state)
{
    struct desk desk;
    struct host *host = start(state, &desk);
    desk.n_failures = 2;
    struct outcome outcome =
        host_run(host, HEAD "    action: count\n    retries: 2\n", "{\"id\":1}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_int_equal(desk.n_calls, 3);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 1);
    desk.n_failures = 100;
    outcome = host_run(host, HEAD "    action: count\n", "{\"id\":2}");
    assert_outcome(&outcome, STATUS_FAILED, "not yet");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 2", 0);
    host_stop(host);
}

/* Notes what each wrong call says. */
static void err(struct action *action, void *arg)
{
    struct desk *desk = arg;
    struct fault fault;
    json_t *text = json_string("many"), *big = json_integer(1LL << 40), *null = json_null(), *out;
    struct text said;
    text_init(&said, sizeof desk->said);
    assert_false(action_set(action, "row", 0, "n", text, &fault));
    text_addf(&said, "%s\n", fault.text);
    assert_false(action_set(action, "row", 0, "n", big, &fault));
    text_addf(&said, "%s\n", fault.text);
    assert_false(action_set(action, "row", 0, "n", null, &fault));
    text_addf(&said, "%s\n", fault.text);
    assert_false(action_get(action, "row", 0, "m", &out, &fault));
    text_addf(&said, "%s\n", fault.text);
    assert_false(action_get(action, "row", 1, "n", &out, &fault));
    assert_false(action_get(action, "other", 0, "n", &out, &fault));
    assert_true(action_set(action, "row", 0, "word", null, &fault));
    assert_true(action_get(action, "row", 0, "word", &out, &fault));
    assert_true(json_is_null(out));
    strncpy(desk->said, text_chars(&said), sizeof desk->said - 1);
    text_done(&said);
    json_decref(text);
    json_decref(big);
    action_done(action);
}

static void wrong_values_are_refused_as_in_scripts(void **state)
{
    struct desk desk;
    struct fault fault;
    struct host *host = start(state, &desk);
    assert_true(runtime_register_action(host_runtime(host), "err", err, &desk, &fault));
    struct outcome outcome = host_run(host, HEAD "    action: err\n", "{\"id\":1}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_non_null(strstr(desk.said, "n is an integer, got string"));
    assert_non_null(strstr(desk.said, "range"));
    assert_non_null(strstr(desk.said, "null"));
    assert_non_null(strstr(desk.said, "no column"));
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 0);
    host_stop(host);
}

static void a_name_is_registered_once(void **state)
{
    struct desk desk;
    struct fault fault;
    struct host *host = start(state, &desk);
    assert_false(runtime_register_action(host_runtime(host), "count", count, NULL, &fault));
    assert_non_null(strstr(fault.text, "registered already"));
    assert_false(runtime_register_action(host_runtime(host), "Count", count, NULL, &fault));
    assert_int_equal(fault.kind, FAULT_INVALID);
    host_stop(host);
}

/* ---- actions that take their time ---- */

static void the_loop_goes_on_while_an_action_runs(void **state)
{
    struct desk desk;
    struct outcome held, beside, behind;
    struct host *host = start(state, &desk);
    struct workflow *slow = host_publish(host, HEAD "    action: hold\n");
    struct workflow *quick =
        host_publish(host, "workflow: quick\n"
                           "input: {id: integer}\n"
                           "data: {row: {table: counter, key: {id: input.id}}}\n"
                           "start: a\n"
                           "activities:\n"
                           "  a:\n"
                           "    enable-exclusive-lock: true\n"
                           "    lock-context: '{\"counter\", input.id}'\n"
                           "    script: data.row.n = data.row.n * 10\n");
    host_submit(host, slow, "{\"id\":1}", &held);
    turn_until_held(*state, &desk);
    host_submit(host, quick, "{\"id\":2}", &beside);
    host_submit(host, quick, "{\"id\":1}", &behind);
    for (int tries = 0; !beside.told && tries < 2000; tries++)
        runtime_fixture_turn(*state, 10);
    assert_outcome(&beside, STATUS_COMPLETED, "");
    assert_false(held.told);
    assert_false(behind.told); /* it waits for the lock */
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 0);
    finish(&desk);
    runtime_fixture_wait(*state);
    assert_outcome(&held, STATUS_COMPLETED, "");
    assert_outcome(&behind, STATUS_COMPLETED, "");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 10);
    host_stop(host);
}

static void an_action_that_is_too_late_is_cancelled(void **state)
{
    struct desk desk;
    struct fault fault;
    json_t *out;
    struct host *host = start(state, &desk);
    struct outcome outcome =
        host_run(host, HEAD "    waiting-timeout: 300ms\n    action: hold\n", "{\"id\":1}");
    assert_outcome(&outcome, STATUS_EXPIRED, "");
    assert_int_equal(desk.n_cancelled, 1);
    assert_non_null(desk.held);
    assert_true(action_is_cancelled(desk.held));
    assert_false(action_get(desk.held, "row", 0, "n", &out, &fault));
    assert_int_equal(action_n_rows(desk.held, "row"), -1);
    finish(&desk); /* of no effect but that it is freed */
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 0);
    desk.end_when_cancelled = true;
    outcome = host_run(host, HEAD "    waiting-timeout: 300ms\n    action: hold\n", "{\"id\":1}");
    assert_outcome(&outcome, STATUS_EXPIRED, "");
    assert_int_equal(desk.n_cancelled, 2);
    host_stop(host);
    assert_nothing_held(*state);
}

static void a_host_that_stops_cancels_its_actions(void **state)
{
    struct desk desk;
    struct outcome outcome;
    struct host *host = start(state, &desk);
    host_submit(host, host_publish(host, HEAD "    action: hold\n"), "{\"id\":1}", &outcome);
    turn_until_held(*state, &desk);
    host_stop(host);
    assert_outcome(&outcome, STATUS_FAILED, "stopped");
    assert_int_equal(desk.n_cancelled, 1);
    finish(&desk); /* after the runtime is gone */
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 0);
    assert_nothing_held(*state);
}

/* It may be at work outside: others wait until its time is over. */
static void a_host_that_stops_keeps_the_lease_of_an_action(void **state)
{
    struct desk desk;
    struct outcome outcome;
    struct host *host = start(state, &desk);
    desk.end_when_cancelled = true;
    host_submit(host, host_publish(host, HEAD "    lock-hold: lease\n    action: hold\n"),
                "{\"id\":1}", &outcome);
    turn_until_held(*state, &desk);
    runtime_retire(host_runtime(host));
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.lease WHERE path = 'counter/1'", 1);
    host_stop(host);
    assert_outcome(&outcome, STATUS_FAILED, "stopped");
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.lease WHERE path = 'counter/1'", 1);
    fixture_exec(((struct runtime_fixture *)*state)->sql, "DELETE FROM latchkey.lease");
}

/* With a lease no transaction is open while the action runs, and it has a token. */
static void an_action_may_hold_a_lease(void **state)
{
    struct desk desk;
    struct outcome outcome;
    struct host *host = start(state, &desk);
    host_submit(host, host_publish(host, HEAD "    lock-hold: lease\n    action: hold\n"),
                "{\"id\":1}", &outcome);
    turn_until_held(*state, &desk);
    assert_true(action_token(desk.held) > 0);
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.lease WHERE path = 'counter/1'", 1);
    assert_sql_int(*state,
                   "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                   " AND state LIKE 'idle in transaction%'",
                   0);
    finish(&desk);
    runtime_fixture_wait(*state);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 1);
    outcome =
        host_run(host, HEAD "    lock-hold: lease\n    waiting-timeout: 500ms\n    action: hold\n",
                 "{\"id\":1}");
    assert_outcome(&outcome, STATUS_EXPIRED, "");
    assert_int_equal(desk.n_cancelled, 1);
    finish(&desk);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 1);
    host_stop(host);
}

/* Somebody without the lock changes the row while the action runs. */
static void change_under_it(void **state, struct desk *desk)
{
    struct runtime_fixture *fixture = *state;
    turn_until_held(fixture, desk);
    fixture_exec(fixture->sql, "UPDATE counter SET n = n + 100 WHERE id = 1");
    finish(desk);
}

static void a_changed_row_is_a_conflict_and_tried_again(void **state)
{
    struct desk desk;
    struct outcome outcome;
    struct host *host = start(state, &desk);
    host_submit(host, host_publish(host, HEAD "    action: hold\n"), "{\"id\":1}", &outcome);
    change_under_it(state, &desk);
    turn_until_held(*state, &desk);
    finish(&desk);
    runtime_fixture_wait(*state);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_int_equal(desk.n_calls, 2);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 101);
    host_submit(host, host_publish(host, HEAD "    action: hold\n    on-conflict: fail\n"),
                "{\"id\":1}", &outcome);
    change_under_it(state, &desk);
    runtime_fixture_wait(*state);
    assert_outcome(&outcome, STATUS_CONFLICT, "");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 201);
    host_stop(host);
}

int action_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_action_sets_is_saved_and_leads_on),
        cmocka_unit_test(each_action_has_a_transaction_of_its_own),
        cmocka_unit_test(an_action_reads_its_event),
        cmocka_unit_test(an_action_works_on_lists),
        cmocka_unit_test(an_action_that_the_host_does_not_have_is_invalid),
        cmocka_unit_test(a_guard_keeps_an_action_from_running),
        cmocka_unit_test(a_failed_action_is_tried_again_and_keeps_nothing),
        cmocka_unit_test(wrong_values_are_refused_as_in_scripts),
        cmocka_unit_test(a_name_is_registered_once),
        cmocka_unit_test(the_loop_goes_on_while_an_action_runs),
        cmocka_unit_test(an_action_that_is_too_late_is_cancelled),
        cmocka_unit_test(a_host_that_stops_cancels_its_actions),
        cmocka_unit_test(an_action_may_hold_a_lease),
        cmocka_unit_test(a_host_that_stops_keeps_the_lease_of_an_action),
        cmocka_unit_test(a_changed_row_is_a_conflict_and_tried_again),
    };
    return cmocka_run_group_tests_name("action", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
