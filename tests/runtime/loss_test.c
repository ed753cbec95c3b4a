/* A connection that is lost before the commit was sent: nothing has happened, and it is run again.
 */
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"

#include "clock.h"
#include "pg_proxy.h"

/* What executions of the host's own sessions hold. */
static void assert_nothing_is_held(struct stage *stage)
{
    fixture_eventually_true(stage->conn,
                            "SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory' AND"
                            " database = (SELECT oid FROM pg_database"
                            " WHERE datname = current_database())",
                            3000);
}

enum {
    CUTS_MAX = 20, /* until one hits the connection that is meant: others send Syncs too */
};

/* Cuts the connection at one Sync after the other: of the tries, of what the script asks, of the
 * save. The saves of the script's changes are part of each. */
static void it_is_run_again_whatever_step_the_connection_is_lost_in(void **state)
{
    enum { STEPS = 4 };
    struct stage *stage = *state;
    struct peer peer;
    struct pg_proxy *proxy;
    struct fault fault;
    struct recipe recipe = {
        .script = "data.row.value = data.row.value + 1 sql(\"select 1 as n\") sleep(0.01)"
                  " data.row.value = data.row.value + 1 sql(\"select 2 as n\")"
                  " data.row.value = data.row.value + 1"};
    assert_true(pg_proxy_start(stage->conninfo, &proxy, &fault));
    peer_open(&peer, pg_proxy_conninfo(proxy), NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    assert_int_equal(peer_run(&peer, workflow, "{\"id\":1}").status, STATUS_COMPLETED);
    int n_runs = 1;
    for (int step = 0; step < STEPS; step++) {
        bool again = false;
        for (int i = 0; i < CUTS_MAX && !again; i++) {
            pg_proxy_strike(proxy, PG_PROXY_CUT_BEFORE_SYNC, step, 1);
            struct ending ending = peer_run(&peer, workflow, "{\"id\":1}");
            assert_int_equal(ending.status, STATUS_COMPLETED);
            assert_int_equal(stage_total(stage), 3 * ++n_runs);
            assert_int_equal(pg_proxy_n_struck(proxy), 1);
            pg_proxy_strike(proxy, PG_PROXY_CUT_BEFORE_SYNC, 0, 0);
            again = ending.attempts > 1 || step == 0; /* whose script had not begun */
        }
        assert_true(again);
    }
    assert_nothing_is_held(stage);
    peer_close(&peer);
    pg_proxy_stop(proxy);
}

static void it_waits_again_when_the_connection_is_lost_while_it_waits(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct pg_proxy *proxy;
    struct fault fault;
    struct ending ending;
    struct recipe recipe = {0};
    assert_true(pg_proxy_start(stage->conninfo, &proxy, &fault));
    peer_open(&peer, pg_proxy_conninfo(proxy), NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_run(&peer, workflow, "{\"id\":2}");
    fixture_exec(stage->conn, "BEGIN; SELECT latchkey.lock('message/1')");
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    const char waits[] = "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory'"
                         " AND NOT granted";
    peer_turn_until_true(&peer, stage->conn, waits, 5000);
    pg_proxy_cut(proxy);
    /* the server notices that the waiter's client is gone, and another waits in its place */
    peer_turn_until_true(&peer, stage->conn,
                         "SELECT count(*) = 0 FROM pg_stat_activity WHERE"
                         " wait_event = 'advisory' AND query_start <"
                         " clock_timestamp() - interval '2 s'"
                         " AND datname = current_database()",
                         5000);
    peer_turn_until_true(&peer, stage->conn, waits, 5000);
    /* and the load after its grant is lost too */
    pg_proxy_strike(proxy, PG_PROXY_CUT_BEFORE_SYNC, 0, 1);
    fixture_exec(stage->conn, "COMMIT");
    peer_finish(&peer, 20 * 1000);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), 2);
    assert_nothing_is_held(stage);
    peer_close(&peer);
    pg_proxy_stop(proxy);
}

/* What is to be met while it runs waits until the gate is open. */
static void build_gate(struct stage *stage)
{
    fixture_exec(stage->conn, "CREATE TABLE gate (is_open boolean)");
}

static void open_gate(struct stage *stage)
{
    fixture_exec(stage->conn, "INSERT INTO gate VALUES (true)");
}

#define UNTIL_OPEN "pg_sleep(CASE WHEN EXISTS (SELECT FROM gate) THEN 0 ELSE 20 END)"

static const char TERMINATE[] =
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname ="
    " current_database() AND application_name LIKE 'latchkey % until %'";

static void an_operator_s_termination_makes_it_run_again(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    struct recipe recipe = {.script = "data.row.value = data.row.value + 1"
                                      " while #sql(\"select from gate\") == 0 do sleep(0.02) end",
                            .waiting = "30s"};
    build_gate(stage);
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_until_held(&peer, stage->conn, "message/1");
    peer_turn_for(&peer, 50);
    assert_int_equal(fixture_int(stage->conn, TERMINATE), 1);
    open_gate(stage);
    peer_finish(&peer, 10 * 1000);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(ending.attempts, 2);
    assert_int_equal(stage_total(stage), 1);
    assert_nothing_is_held(stage);
    peer_close(&peer);
}

static void an_operator_s_cancellation_makes_it_run_again(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    struct recipe recipe = {.script = "data.row.value = data.row.value + 1"
                                      " sql(\"select 1 as n from " UNTIL_OPEN "\")",
                            .waiting = "30s"};
    build_gate(stage);
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_until_true(&peer, stage->conn,
                         "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                         " AND datname = current_database()",
                         5000);
    open_gate(stage); /* for the next one: this one sleeps */
    fixture_exec(stage->conn, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE"
                              " wait_event = 'PgSleep' AND datname = current_database()");
    peer_finish(&peer, 10 * 1000);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(ending.attempts, 2);
    assert_int_equal(stage_total(stage), 1);
    peer_close(&peer);
}

static void all_members_of_a_terminated_batch_run_again(void **state)
{
    enum { N = 16 };
    struct stage *stage = *state;
    struct peer peer;
    struct ending endings[N];
    struct recipe recipe = {.waiting = "30s"};
    build_gate(stage);
    fixture_exec(stage->conn,
                 "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN PERFORM " UNTIL_OPEN "; RETURN NEW; END';"
                 "CREATE TRIGGER slowly BEFORE UPDATE ON counter FOR EACH ROW WHEN (NEW.id = 3)"
                 " EXECUTE FUNCTION slowly()");
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_run(&peer, workflow, "{\"id\":1000}");
    for (int i = 0; i < N; i++)
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":%d}", i / 2 + 1);
    peer_turn_until_true(&peer, stage->conn,
                         "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                         " AND datname = current_database()",
                         5000);
    open_gate(stage);
    assert_in_range(fixture_int(stage->conn, TERMINATE), 1, 3);
    peer_finish(&peer, 20 * 1000);
    for (int i = 0; i < N; i++) {
        assert_int_equal(endings[i].n_told, 1);
        assert_int_equal(endings[i].status, STATUS_COMPLETED);
        assert_in_range(endings[i].attempts, 1, 2);
    }
    assert_int_equal(endings[4].attempts, 2);
    assert_int_equal(stage_total(stage), N + 1);
    assert_nothing_is_held(stage);
    peer_close(&peer);
}

static void a_look_at_the_tables_that_is_lost_is_made_again(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct pg_proxy *proxy;
    struct fault fault;
    struct recipe recipe = {0};
    assert_true(pg_proxy_start(stage->conninfo, &proxy, &fault));
    peer_open(&peer, pg_proxy_conninfo(proxy), NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    pg_proxy_strike(proxy, PG_PROXY_CUT_BEFORE_SYNC, 0, 1);
    assert_int_equal(peer_run(&peer, workflow, "{\"id\":1}").status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), 1);
    peer_close(&peer);
    pg_proxy_stop(proxy);
}

/* Connections are cut at random moments for a while. */
static void the_counter_is_exact_under_cuts_at_any_moment(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct pg_proxy *proxy;
    struct fault fault;
    struct recipe recipe = {.acquire = "60s"};
    const char *const inputs[] = {"{\"id\":1}", "{\"id\":1}", "{\"id\":2}", "{\"id\":3}",
                                  "{\"id\":1,\"path\":[[\"message\",1],[\"message\",2]]}"};
    assert_true(pg_proxy_start(stage->conninfo, &proxy, &fault));
    peer_open(&peer, pg_proxy_conninfo(proxy), NULL);
    struct load load = {.peer = &peer,
                        .workflow = peer_publish(&peer, &recipe),
                        .inputs = inputs,
                        .n_inputs = 5,
                        .concurrency = 20};
    load_start(&load);
    for (int i = 0; i < long_or(200, 12); i++) {
        peer_turn_for(&peer, 30 + i * 37 % 200);
        pg_proxy_cut(proxy);
    }
    load_stop(&load, 20 * 1000);
    assert_int_equal(load.counts[STATUS_COMPLETED], load.n_started);
    assert_int_equal(stage_total(stage), load.n_started);
    assert_nothing_is_held(stage);
    peer_close(&peer);
    pg_proxy_stop(proxy);
}

static void a_database_that_is_away_for_good_is_told_as_failed(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct pg_proxy *proxy;
    struct fault fault;
    struct ending ending;
    struct recipe recipe = {.waiting = "1s", .acquire = "1s"}, patient = {.name = "patient"};
    assert_true(pg_proxy_start(stage->conninfo, &proxy, &fault));
    peer_open(&peer, pg_proxy_conninfo(proxy), NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    struct workflow *after = peer_publish(&peer, &patient);
    peer_run(&peer, workflow, "{\"id\":1}");
    pg_proxy_set_away(proxy, true);
    pg_proxy_cut(proxy);
    int64_t since_us = clock_monotonic_us();
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_finish(&peer, 20 * 1000);
    assert_int_equal(ending.status, STATUS_FAILED);
    assert_in_range(clock_monotonic_us() - since_us, 900 * 1000, 20 * 1000 * 1000);
    pg_proxy_set_away(proxy, false);
    assert_int_equal(peer_run(&peer, after, "{\"id\":1}").status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), 2);
    peer_close(&peer);
    pg_proxy_stop(proxy);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int loss_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_run_again_whatever_step_the_connection_is_lost_in),
        TEST(it_waits_again_when_the_connection_is_lost_while_it_waits),
        TEST(an_operator_s_termination_makes_it_run_again),
        TEST(an_operator_s_cancellation_makes_it_run_again),
        TEST(all_members_of_a_terminated_batch_run_again),
        TEST(a_look_at_the_tables_that_is_lost_is_made_again),
        TEST(the_counter_is_exact_under_cuts_at_any_moment),
        TEST(a_database_that_is_away_for_good_is_told_as_failed),
    };
    return cmocka_run_group_tests_name("loss", tests, stage_open, stage_close);
}
