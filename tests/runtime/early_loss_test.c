/* Early executions whose connection or host is lost in the middle: all of theirs is one pipeline.
 */
#include "early_desk.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lock_break.h"
#include "pg_proxy.h"

/* Everything goes by the proxy; the next one is early. */
static void open_by_proxy(struct early_desk *desk, void **state, struct pg_proxy **proxy,
                          const char *yaml)
{
    struct runtime_options options = early_desk_options(state);
    struct fault fault;
    assert_true(pg_proxy_start(options.conninfo, proxy, &fault));
    options.conninfo = pg_proxy_conninfo(*proxy);
    early_desk_open_with(desk, state, FLOW_TABLES, yaml, &options);
}

static void strike_an_early_one(void **state, enum pg_proxy_strike strike, int n_attempts)
{
    struct early_desk desk;
    struct pg_proxy *proxy;
    open_by_proxy(&desk, state, &proxy, FLOW FLOW_ADD("a", "1", "    acquire-timeout: 30s\n"));
    for (int i = 0; i < 5; i++) {
        int64_t n_before = early_desk_n_early(&desk);
        early_desk_run_well(&desk);
        early_desk_run_well(&desk);
        early_desk_run_well(&desk);
        assert_true(early_desk_n_early(&desk) > n_before); /* and so is the next one */
        pg_proxy_strike(proxy, strike, 0, 1);
        struct outcome outcome = early_desk_run(&desk);
        assert_outcome(&outcome, STATUS_COMPLETED, "");
        assert_int_equal(pg_proxy_n_struck(proxy), 1);
        assert_int_equal(outcome.attempts, n_attempts);
        assert_sql_int(desk.fixture, "SELECT n FROM counter WHERE id = 1", 3 + 4 * (i + 1));
    }
    assert_int_equal(early_desk_n_missed(&desk), 0);
    assert_sql_int(desk.fixture, "SELECT count(*) FROM latchkey.execution WHERE attempts > 2", 0);
    early_desk_close(&desk, 23, 23);
    pg_proxy_stop(proxy);
}

static void an_early_commit_whose_answer_is_lost_counts_once(void **state)
{
    strike_an_early_one(state, PG_PROXY_CUT_AFTER_COMMIT, 1);
}

static void an_early_commit_that_never_arrived_is_run_again(void **state)
{
    strike_an_early_one(state, PG_PROXY_CUT_BEFORE_COMMIT, 2);
}

static void an_early_answer_that_is_cut_counts_once(void **state)
{
    strike_an_early_one(state, PG_PROXY_CUT_BEFORE_ANSWER, 1);
}

/* The host is frozen in the middle of its one pipeline, and another one takes the row. */
static void freeze_an_early_one(void **state, enum pg_proxy_strike strike)
{
    struct early_desk desk;
    struct pg_proxy *proxy;
    struct outcome outcome, next;
    const char *yaml =
        FLOW FLOW_ADD("a", "1", "    waiting-timeout: 1500ms\n    acquire-timeout: 60s\n");
    open_by_proxy(&desk, state, &proxy, yaml);
    struct host *live = host_start(desk.fixture, NULL);
    struct workflow *there = host_publish(live, yaml);
    pg_proxy_strike(proxy, strike, 0, 1);
    host_submit(desk.host, desk.workflow, "{\"id\":1}", &outcome);
    while (!pg_proxy_n_struck(proxy))
        runtime_fixture_turn(desk.fixture, 5);
    pg_proxy_freeze(proxy);
    host_submit(live, there, "{\"id\":1}", &next);
    while (!next.told)
        runtime_fixture_turn(desk.fixture, 20);
    assert_outcome(&next, STATUS_COMPLETED, "");
    pg_proxy_thaw(proxy);
    runtime_fixture_wait(desk.fixture);
    assert_true(outcome.status == STATUS_COMPLETED || outcome.status == STATUS_EXPIRED);
    int n = 4 + (outcome.status == STATUS_COMPLETED);
    host_stop(live);
    early_desk_close(&desk, n, n);
    pg_proxy_stop(proxy);
}

static void a_host_that_is_frozen_before_the_end_of_an_early_one_is_ended(void **state)
{
    freeze_an_early_one(state, PG_PROXY_HOLD_BEFORE_SYNC);
}

static void a_host_that_is_frozen_before_an_early_commit_is_ended(void **state)
{
    freeze_an_early_one(state, PG_PROXY_HOLD_BEFORE_COMMIT);
}

/* It waits for its row, and does not any more. */
static void an_early_session_that_is_ended_runs_again(void **state)
{
    struct early_desk desk;
    struct outcome outcome;
    early_desk_open(&desk, state, ADD);
    fixture_exec(desk.other, "BEGIN; UPDATE counter SET n = n + 100 WHERE id = 1");
    host_submit(desk.host, desk.workflow, "{\"id\":1}", &outcome);
    early_desk_until_somebody_waits(&desk);
    fixture_exec(desk.other, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname"
                             " = current_database() AND wait_event_type = 'Lock'");
    runtime_fixture_turn(desk.fixture, 50);
    fixture_exec(desk.other, "COMMIT");
    runtime_fixture_wait(desk.fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_true(outcome.attempts >= 2);
    early_desk_close(&desk, 4, 104);
}

static void on_broken(const char *met, const struct fault *fault, void *arg)
{
    (void)met;
    *(bool *)arg = !fault;
}

/* As ever: it is told who did it, and does not run again. */
static void an_early_one_whose_lock_is_broken_ends(void **state)
{
    struct early_desk desk;
    struct outcome outcome;
    struct lock_break *request;
    struct fault fault;
    bool broken = false;
    early_desk_open(&desk, state, FLOW FLOW_ADD("a", "1", "    waiting-timeout: 60s\n"));
    fixture_exec(desk.other, "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
                             " $$BEGIN PERFORM pg_sleep(60); RETURN NEW; END$$;"
                             "CREATE TRIGGER slow BEFORE UPDATE ON counter FOR EACH ROW"
                             " EXECUTE FUNCTION slow()");
    host_submit(desk.host, desk.workflow, "{\"id\":1}", &outcome);
    runtime_fixture_until(desk.fixture,
                          "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", 1);
    assert_true(lock_break_start(host_runtime(desk.host), "counter/1", "ann@desk", on_broken,
                                 &broken, &request, &fault));
    runtime_fixture_wait(desk.fixture);
    assert_outcome(&outcome, STATUS_EXPIRED, "its lock on counter/1 was broken by ann@desk");
    early_desk_close(&desk, 3, 3);
    assert_true(broken);
}

static void a_host_that_stops_meanwhile_leaves_one_or_none(void **state)
{
    struct early_desk desk;
    struct outcome outcome;
    early_desk_open(&desk, state, ADD);
    fixture_exec(desk.other, "BEGIN; UPDATE counter SET n = n + 100 WHERE id = 1");
    host_submit(desk.host, desk.workflow, "{\"id\":1}", &outcome);
    early_desk_until_somebody_waits(&desk);
    host_stop(desk.host);
    assert_true(outcome.told);
    fixture_exec(desk.other, "COMMIT");
    PQfinish(desk.other);
    assert_nothing_held(desk.fixture);
    int64_t n =
        103 + fixture_int(desk.fixture->sql,
                          "SELECT count(*) - 3 FROM latchkey.execution WHERE status = 'completed'");
    assert_true(n == 103 || (n == 104 && outcome.status == STATUS_UNKNOWN));
    assert_sql_int(desk.fixture, "SELECT n FROM counter WHERE id = 1", n);
}

int early_loss_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_early_commit_whose_answer_is_lost_counts_once),
        cmocka_unit_test(an_early_commit_that_never_arrived_is_run_again),
        cmocka_unit_test(an_early_answer_that_is_cut_counts_once),
        cmocka_unit_test(a_host_that_is_frozen_before_the_end_of_an_early_one_is_ended),
        cmocka_unit_test(a_host_that_is_frozen_before_an_early_commit_is_ended),
        cmocka_unit_test(an_early_session_that_is_ended_runs_again),
        cmocka_unit_test(an_early_one_whose_lock_is_broken_ends),
        cmocka_unit_test(a_host_that_stops_meanwhile_leaves_one_or_none),
    };
    return cmocka_run_group_tests_name("early_loss", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
