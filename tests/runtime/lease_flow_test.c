/* Leases in workflows: as one activity of several, woken by events, in the background, with keys,
 * and over the death of a host. */
#include "flow_text.h"
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "execution.h"
#include "runtime_state.h"

static const char tables[] = FLOW_TABLES;

#define ACTIVITY(name, more, script)                                                               \
    FLOW_STEP(name, FLOW_CONTEXT, "    acquire-timeout: 60s\n" more, script)
#define GATE "while sql('select n from counter where id = 10')[1].n == 0 do sleep(0.05) end"

static struct host *another(void **state)
{
    struct runtime_options options = runtime_fixture_options(*state);
    options.ownership_us = 1000 * 1000;
    return host_start(*state, &options);
}

static struct host *start(void **state)
{
    runtime_fixture_tables(*state, tables);
    return another(state);
}

static void open_gate(struct runtime_fixture *fixture)
{
    fixture_exec(fixture->sql, "UPDATE counter SET n = 1 WHERE id = 10");
}

static void until_leased(struct runtime_fixture *fixture)
{
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.lease", 2);
}

static void assert_all_over(struct runtime_fixture *fixture)
{
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.lease", 0);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.instance WHERE status <> 'completed'",
                   0);
    assert_nothing_held(fixture);
}

static void one_activity_of_three_holds_a_lease(void **state)
{
    struct host *host = start(state);
    struct outcome outcome =
        host_run(host,
                 FLOW ACTIVITY("a", FLOW_TO("b"), "data.row.n = 1 vars.seen = 'a'")
                     ACTIVITY("b", FLOW_LEASE FLOW_TO("c"),
                              "data.row.n = data.row.n + 10 vars.seen = vars.seen .. 'b' "
                              "vars.token = lock.token sleep(0.05)")
                         ACTIVITY("c", "",
                                  "data.row.n = data.row.n + 100 output.seen = vars.seen "
                                  "assert(vars.token > 0)"),
                 "{\"id\":1}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "{\"seen\":\"ab\"}");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 111);
    assert_sql_text(*state,
                    "SELECT string_agg(activity || ' ' || (token IS NOT NULL)::text, ', ' ORDER BY "
                    "finished_at) FROM latchkey.execution",
                    "a false, b true, c false");
    /* three ends, and the taking */
    assert_sql_text(*state, "SELECT steps || ' ' || state_version FROM latchkey.instance", "3 4");
    assert_all_over(*state);
    host_stop(host);
}

static void without_a_lock_there_is_no_token(void **state)
{
    struct host *host = start(state);
    struct outcome outcome =
        host_run(host, FLOW "  a:\n    script: output.token = lock.token\n", "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "takes no lock");
    host_stop(host);
}

static void without_history_nothing_is_left(void **state)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(
        host, "history: none\n" FLOW ACTIVITY("a", FLOW_LEASE, "data.row.n = 1"), "{\"id\":1}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.instance", 0);
    assert_all_over(*state);
    host_stop(host);
}

static void an_event_is_not_lost_with_a_failure(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    struct outcome first, failed, second, late;
    struct workflow *workflow =
        host_publish(host, FLOW ACTIVITY("a", FLOW_LEASE "    wait-for: paid\n",
                                         "data.row.n = data.row.n + event.payload.sum "
                                         "if event.payload.sum < 0 then fail('no') end " GATE));
    host_submit(host, workflow, "{\"id\":1}", &first);
    runtime_fixture_wait(fixture);
    assert_outcome(&first, STATUS_IDLE, "");
    host_deliver(host, first.id, "paid", "{\"sum\":-1}", &failed);
    runtime_fixture_wait(fixture);
    assert_outcome(&failed, STATUS_FAILED, "no");
    assert_sql_text(fixture, "SELECT status || ' ' || wait_for FROM latchkey.instance",
                    "idle paid");
    host_deliver(host, first.id, "paid", "{\"sum\":5}", &second);
    until_leased(fixture);
    host_deliver(host, first.id, "paid", "{\"sum\":7}", &late); /* waits for the lease */
    runtime_fixture_turn(fixture, 200);
    assert_false(late.told);
    open_gate(fixture);
    runtime_fixture_wait(fixture);
    assert_outcome(&second, STATUS_COMPLETED, "");
    assert_outcome(&late, STATUS_BLOCKED, "completed");
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 5);
    assert_all_over(fixture);
    host_stop(host);
}

/* ---- chains, and lock contexts that use data ---- */

/* Taking a lease commits what came before it. */
static void a_chain_is_committed_before_a_lease(void **state)
{
    struct host *host = start(state);
    struct workflow *workflow =
        host_publish(host, FLOW ACTIVITY("a", FLOW_OFF FLOW_TO("b"), "data.row.n = 1") ACTIVITY(
                               "b", FLOW_LEASE, "data.row.n = data.row.n + 10 fail('no')"));
    struct outcome outcome;
    host_submit(host, workflow, "{\"id\":1}", &outcome);
    runtime_fixture_wait(*state);
    assert_outcome(&outcome, STATUS_FAILED, "no");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 1);
    assert_sql_text(*state, "SELECT activity || ' ' || status FROM latchkey.instance", "b failed");
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.lease", 0);
    host_stop(host);
}

/* What a chain meets on its way may turn out to want a token, and then to be a lease. */
static void the_token_may_be_asked_for_inside_a_chain(void **state)
{
    struct host *host = start(state);
    struct workflow *workflow = host_publish(
        host,
        FLOW ACTIVITY("a", FLOW_OFF FLOW_TO("b"), "data.row.n = data.row.n + 1") ACTIVITY(
            "b", FLOW_OFF FLOW_TO("c"), "data.row.n = data.row.n + 10 vars.token = lock.token")
            ACTIVITY("c", "", "data.row.n = data.row.n + 100 output.had = vars.token > 0"));
    for (int i = 1; i <= 2; i++) {
        struct outcome outcome;
        char sql[80];
        host_submitf(host, workflow, &outcome, "{\"id\":%d}", i);
        runtime_fixture_wait(*state);
        assert_outcome(&outcome, STATUS_COMPLETED, "");
        assert_string_equal(outcome.output, "{\"had\":true}");
        snprintf(sql, sizeof sql, "SELECT n FROM counter WHERE id = %d", i);
        assert_sql_int(*state, sql, 111);
    }
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.execution WHERE token > 0", 2);
    assert_all_over(*state);
    host_stop(host);
}

/* The second activity's lock is leased: the chain waits with nothing in its hands. */
static void a_chain_waits_for_a_lease_on_its_way(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    struct outcome outcome;
    struct workflow *workflow = host_publish(
        host,
        FLOW ACTIVITY("a", FLOW_OFF FLOW_TO("b"),
                      "data.row.n = data.row.n + 1") "  b:\n"
                                                     "    enable-exclusive-lock: true\n"
                                                     "    lock-context: '{\"other\"}'\n"
                                                     "    script: data.row.n = data.row.n * 10\n");
    fixture_exec(fixture->sql,
                 "INSERT INTO latchkey.lease (path, token, holder, process, instance, workflow,"
                 " activity, expires_at) SELECT 'other', 1, u, u, u, 'x', 'x', clock_timestamp() +"
                 " interval '1 hour' FROM gen_random_uuid() AS u");
    host_submit(host, workflow, "{\"id\":1}", &outcome);
    runtime_fixture_turn(fixture, 400);
    assert_false(outcome.told);
    assert_nothing_held(fixture);
    fixture_exec(fixture->sql, "DELETE FROM latchkey.lease");
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 10);
    assert_all_over(fixture);
    host_stop(host);
}

static void the_lock_of_a_lease_may_come_from_the_data(void **state)
{
    struct host *host = start(state);
    struct outcome outcome;
    struct workflow *workflow = host_publish(host, FLOW "  a:\n"
                                                        "    enable-exclusive-lock: true\n"
                                                        "    lock-context: '{\"n\", data.row.n}'\n"
                                                        "    script: |\n"
                                                        "      data.row.n = data.row.n + 5\n"
                                                        "      output.token = lock.token > 0\n");
    for (int i = 0; i < 2; i++) {
        host_submit_keyed(host, workflow, "{\"id\":1}", i ? "k" : NULL, &outcome);
        runtime_fixture_wait(*state);
        assert_outcome(&outcome, STATUS_COMPLETED, "");
        assert_string_equal(outcome.paths, i ? "n/5" : "n/0");
        assert_int_equal(outcome.attempts, i ? 1 : 2);
    }
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 10);
    assert_all_over(*state);
    host_stop(host);
}

/* ---- background ---- */

static void a_job_that_fails_under_a_lease_is_tried_again(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *host = start(state);
    struct workflow *workflow = host_publish(
        host, FLOW ACTIVITY("a", FLOW_LEASE,
                            "data.row.n = data.row.n + 1 "
                            "if sql('select n from counter where id = 10')[1].n == 0 then "
                            "fail('not yet') end"));
    host_enqueue(host, workflow, "{\"id\":1}", 0, &outcome);
    runtime_fixture_wait(fixture);
    host_work(host);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job WHERE attempts = 1", 1);
    assert_sql_text(fixture, "SELECT kind || ' ' || last_error FROM latchkey.job",
                    "resume not yet");
    assert_sql_text(fixture, "SELECT status FROM latchkey.instance", "failed");
    open_gate(fixture);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 1);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.instance", 1);
    assert_all_over(fixture);
    host_stop(host);
}

static void a_job_that_expires_under_a_lease_goes_on(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *host = start(state);
    struct workflow *workflow =
        host_publish(host, FLOW ACTIVITY("a", FLOW_LEASE "    waiting-timeout: 600ms\n",
                                         "data.row.n = data.row.n + 1 " GATE));
    host_enqueue(host, workflow, "{\"id\":1}", 0, &outcome);
    runtime_fixture_wait(fixture);
    host_work(host);
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM latchkey.execution WHERE status = 'expired'", 1);
    open_gate(fixture);
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM latchkey.instance WHERE status = 'completed'", 1);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 1);
    assert_all_over(fixture);
    host_stop(host);
}

/* ---- the death of a host ---- */

/* The rows are there before their host has heard of it. */
static void until_told_its_token(struct runtime_fixture *fixture, struct host *host)
{
    const struct runtime *runtime = host_runtime(host);
    for (int i = 0; i < 1000 && !TAILQ_FIRST(&runtime->executions)->token; i++)
        runtime_fixture_turn(fixture, 20);
    assert_true(TAILQ_FIRST(&runtime->executions)->token > 0);
}

static const char slow[] =
    FLOW ACTIVITY("a", FLOW_LEASE "    waiting-timeout: 3s\n", "data.row.n = data.row.n + 1 " GATE);

static void another_host_goes_on_once_the_lease_has_expired(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *one = start(state), *two = another(state);
    host_publish(two, slow);
    host_submit(one, host_publish(one, slow), "{\"id\":1}", &outcome);
    until_leased(fixture);
    until_told_its_token(fixture, one);
    host_stop(one);
    assert_outcome(&outcome, STATUS_FAILED, "stopped");
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.lease", 2);
    open_gate(fixture);
    host_work(two);
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM latchkey.instance WHERE status = 'completed'", 1);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 1);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.execution WHERE token > 1", 1);
    assert_all_over(fixture);
    host_stop(two);
}

/* Its lease would last for ten minutes. */
static void a_host_that_stops_gives_its_leases_back(void **state)
{
    static const char long_one[] = FLOW ACTIVITY("a", FLOW_LEASE "    waiting-timeout: 10m\n",
                                                 "data.row.n = data.row.n + 1 " GATE);
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *one = start(state), *two = another(state);
    host_publish(two, long_one);
    host_submit(one, host_publish(one, long_one), "{\"id\":1}", &outcome);
    until_leased(fixture);
    until_told_its_token(fixture, one);
    runtime_retire(host_runtime(one));
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.lease", 0);
    host_stop(one);
    assert_outcome(&outcome, STATUS_FAILED, "stopped");
    open_gate(fixture);
    host_work(two);
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM latchkey.instance WHERE status = 'completed'", 1);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 1);
    host_stop(two);
}

static void a_job_of_a_dead_host_goes_on_with_its_instance(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *one = start(state), *two = another(state);
    host_publish(two, slow);
    host_enqueue(one, host_publish(one, slow), "{\"id\":1}", 0, &outcome);
    host_work(one);
    until_leased(fixture);
    until_told_its_token(fixture, one);
    host_stop(one);
    assert_sql_text(fixture, "SELECT kind FROM latchkey.job", "resume");
    open_gate(fixture);
    host_work(two);
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM latchkey.instance WHERE status = 'completed'", 1);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.instance", 1);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 1);
    assert_all_over(fixture);
    host_stop(two);
}

static void a_key_is_bound_when_the_lease_is_taken(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome first, second, third;
    struct host *one = start(state), *two = another(state);
    struct workflow *there = host_publish(two, slow);
    host_submit_keyed(one, host_publish(one, slow), "{\"id\":1}", "k", &first);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.lease", 3);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.idempotency_key WHERE result IS NULL",
                   1);
    host_submit_keyed(two, there, "{\"id\":1}", "k", &second);
    until_told_its_token(fixture, one);
    host_stop(one);
    assert_outcome(&first, STATUS_FAILED, "stopped");
    open_gate(fixture);
    host_work(two);
    runtime_fixture_wait(fixture);
    assert_outcome(&second, STATUS_COMPLETED, "");
    assert_string_equal(second.id, first.id);
    host_submit_keyed(two, there, "{\"id\":1}", "k", &third);
    runtime_fixture_wait(fixture);
    assert_true(third.replayed);
    assert_string_equal(third.id, first.id);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 1);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job", 0);
    assert_all_over(fixture);
    host_stop(two);
}

int lease_flow_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_activity_of_three_holds_a_lease),
        cmocka_unit_test(without_a_lock_there_is_no_token),
        cmocka_unit_test(without_history_nothing_is_left),
        cmocka_unit_test(an_event_is_not_lost_with_a_failure),
        cmocka_unit_test(a_chain_is_committed_before_a_lease),
        cmocka_unit_test(the_token_may_be_asked_for_inside_a_chain),
        cmocka_unit_test(a_chain_waits_for_a_lease_on_its_way),
        cmocka_unit_test(the_lock_of_a_lease_may_come_from_the_data),
        cmocka_unit_test(a_job_that_fails_under_a_lease_is_tried_again),
        cmocka_unit_test(a_job_that_expires_under_a_lease_goes_on),
        cmocka_unit_test(another_host_goes_on_once_the_lease_has_expired),
        cmocka_unit_test(a_host_that_stops_gives_its_leases_back),
        cmocka_unit_test(a_job_of_a_dead_host_goes_on_with_its_instance),
        cmocka_unit_test(a_key_is_bound_when_the_lease_is_taken),
    };
    return cmocka_run_group_tests_name("lease_flow", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
