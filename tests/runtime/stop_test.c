/* The end of a runtime with work in flight: everyone is told, once, and nothing stays behind. */
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"

#include "pg_proxy.h"

enum {
    MANY = 200,
};

static void assert_all_told(const struct ending *endings, int n, enum execution_status status)
{
    for (int i = 0; i < n; i++) {
        if (endings[i].n_told != 1 || endings[i].status != status)
            print_error("%d: told %d times, %s: %s\n", i, endings[i].n_told,
                        execution_status_row(endings[i].status)->name, endings[i].reason);
        assert_int_equal(endings[i].n_told, 1);
        assert_int_equal(endings[i].status, status);
    }
}

static void assert_nothing_stays(struct stage *stage)
{
    fixture_eventually_true(stage->conn,
                            "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname ="
                            " current_database() AND application_name LIKE 'latchkey%'",
                            5000);
}

/* Stops after the loop has turned for a while, so that it is met in each of its steps. */
static void stop_after(struct stage *stage, const struct recipe *recipe, int turns)
{
    struct peer peer;
    struct ending endings[MANY];
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, recipe);
    for (int i = 0; i < MANY; i++)
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":%d}", 1 + i % 50);
    for (int i = 0; i < turns; i++)
        peer_turn_for(&peer, 1);
    peer_close(&peer);
    int64_t n_perhaps = 0, n_completed = 0;
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(endings[i].n_told, 1);
        n_completed += endings[i].status == STATUS_COMPLETED;
        n_perhaps += endings[i].status == STATUS_UNKNOWN;
    }
    assert_nothing_stays(stage);
    assert_in_range(stage_total(stage), n_completed, n_completed + n_perhaps);
    fixture_exec(stage->conn, "UPDATE counter SET value = 0");
}

static void everyone_is_told_whenever_it_stops(void **state)
{
    struct recipe plain = {0};
    struct recipe asks = {.script = "sql(\"select 1 as n\") data.row.value = data.row.value + 1"};
    struct recipe sleeps = {.script = "sleep(0.003) data.row.value = data.row.value + 1"};
    for (int turns = 0; turns < 40; turns += 1 + turns / 2) {
        stop_after(*state, &plain, turns);
        stop_after(*state, &asks, turns);
        stop_after(*state, &sleeps, turns);
    }
}

static void those_who_sleep_and_wait_are_told(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending endings[MANY];
    struct recipe recipe = {.script = "data.row.value = 1 sleep(30)", .waiting = "60s"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    PGconn *holder = fixture_connect(stage->conninfo);
    fixture_exec(holder, "BEGIN; SELECT latchkey.lock('message/1')");
    for (int i = 0; i < MANY; i++)
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":%d}", 1 + i % 4);
    peer_turn_until_held(&peer, stage->conn, "message/3");
    peer_turn_for(&peer, 300);
    peer_close(&peer);
    assert_all_told(endings, MANY, STATUS_FAILED);
    assert_nothing_stays(stage);
    PQfinish(holder);
    assert_int_equal(stage_total(stage), 0);
}

static bool has_struck(void *proxy)
{
    return pg_proxy_n_struck(proxy) > 0;
}

/* What has perhaps been committed is unknown, never failed. */
static void stop_around_commit(struct stage *stage, bool away)
{
    struct peer peer;
    struct pg_proxy *proxy;
    struct fault fault;
    struct ending endings[3];
    struct recipe recipe = {0};
    assert_true(pg_proxy_start(stage->conninfo, &proxy, &fault));
    peer_open(&peer, pg_proxy_conninfo(proxy), NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_run(&peer, workflow, "{\"id\":1}");
    pg_proxy_strike(proxy, away ? PG_PROXY_CUT_AFTER_COMMIT : PG_PROXY_HOLD_AFTER_COMMIT, 0, 1);
    pg_proxy_set_away(proxy, away);
    for (int i = 0; i < 3; i++)
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":%d}", i + 1);
    peer_turn_until(&peer, has_struck, proxy, 5000);
    if (away)
        pg_proxy_cut(proxy); /* and nobody can be asked */
    peer_turn_for(&peer, 200);
    peer_close(&peer);
    assert_all_told(endings, 3, STATUS_UNKNOWN);
    assert_int_equal(stage_total(stage), 4);
    pg_proxy_stop(proxy);
}

static void what_waits_for_its_commit_is_unknown(void **state)
{
    stop_around_commit(*state, /* away= */ false);
}

static void what_is_looked_up_is_unknown(void **state)
{
    stop_around_commit(*state, /* away= */ true);
}

static void those_who_wait_for_a_lost_database_are_told(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct pg_proxy *proxy;
    struct fault fault;
    struct ending endings[MANY];
    struct recipe recipe = {0}, other = {.name = "other"};
    assert_true(pg_proxy_start(stage->conninfo, &proxy, &fault));
    peer_open(&peer, pg_proxy_conninfo(proxy), NULL);
    struct workflow *known = peer_publish(&peer, &recipe), *unknown = peer_publish(&peer, &other);
    peer_run(&peer, known, "{\"id\":1}");
    pg_proxy_set_away(proxy, true);
    pg_proxy_cut(proxy);
    for (int i = 0; i < MANY; i++)
        peer_submit(&peer, i % 2 ? known : unknown, &endings[i], NULL, "{\"id\":%d}", 1 + i % 9);
    peer_turn_for(&peer, 300);
    peer_close(&peer);
    assert_all_told(endings, MANY, STATUS_FAILED);
    pg_proxy_stop(proxy);
}

/* Ones that ended without changes, while their history is being written. */
static void those_whose_history_is_being_written_are_told_what_they_came_to(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending endings[MANY];
    struct recipe recipe = {.acquire = "0s"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_run(&peer, workflow, "{\"id\":2}");
    fixture_exec(stage->conn, "BEGIN; SELECT latchkey.lock('message/1');"
                              "LOCK TABLE latchkey.execution IN ACCESS EXCLUSIVE MODE");
    for (int i = 0; i < MANY; i++)
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":1}");
    peer_turn_for(&peer, 300);
    assert_int_equal(endings[0].n_told, 0);
    peer_close(&peer);
    assert_all_told(endings, MANY, STATUS_LOCKED);
    fixture_exec(stage->conn, "COMMIT");
    assert_nothing_stays(stage);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int stop_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everyone_is_told_whenever_it_stops),
        TEST(those_who_sleep_and_wait_are_told),
        TEST(what_waits_for_its_commit_is_unknown),
        TEST(what_is_looked_up_is_unknown),
        TEST(those_who_wait_for_a_lost_database_are_told),
        TEST(those_whose_history_is_being_written_are_told_what_they_came_to),
    };
    return cmocka_run_group_tests_name("stop", tests, stage_open, stage_close);
}
