/*
 * A client that is frozen in the middle of a pipeline, before its Sync: below version 17 none of
 * the server's own limits sees it. Other hosts end it after the deadline that it has published, and
 * nobody else.
 */
#include "runtime_tests.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"

#include "clock.h"
#include "pg_proxy.h"

enum {
    LATE_US = 8000 * 1000, /* hosts look twice a second; a busy machine. Others wait for 10 s */
};

/* Sends without a Sync: the server runs it and waits for more. */
static PGconn *frozen_session(const struct stage *stage, const char *tag, int deadline_ms,
                              const char *last)
{
    char name[256];
    PGconn *conn = fixture_connect(stage->conninfo);
    snprintf(name, sizeof name,
             "SELECT set_config('application_name', '%s until ' ||"
             " (extract(epoch FROM clock_timestamp()) * 1000 + %d)::bigint, true)",
             tag, deadline_ms);
    assert_int_equal(PQenterPipelineMode(conn), 1);
    PQsendQueryParams(conn, "BEGIN", 0, NULL, NULL, NULL, NULL, 0);
    PQsendQueryParams(conn, name, 0, NULL, NULL, NULL, NULL, 0);
    PQsendQueryParams(conn, last, 0, NULL, NULL, NULL, NULL, 0);
    assert_int_equal(PQsendFlushRequest(conn), 1);
    PQflush(conn);
    return conn;
}

static bool lives(PGconn *conn, const struct stage *stage)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM pg_stat_activity WHERE pid = %d",
             PQbackendPID(conn));
    return fixture_int(stage->conn, sql) == 1;
}

static void a_client_frozen_in_a_pipeline_is_ended_after_its_deadline(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe recipe = {0};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    PGconn *frozen =
        frozen_session(stage, "latchkey 0123abcd", 800, "SELECT latchkey.lock('message/1')");
    stage_until_held(stage->conn, "message/1");
    struct ending ending = peer_run(&peer, workflow, "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_in_range(ending.waited_us, 500 * 1000, 800 * 1000 + LATE_US);
    assert_false(lives(frozen, stage));
    peer_close(&peer);
    PQfinish(frozen);
}

static void no_other_session_is_ended(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    const char *lock = "SELECT latchkey.lock('a')", *nothing = "SELECT 1";
    char is_gone[128];
    peer_open(&peer, stage->conninfo, NULL);
    PGconn *not_yet = frozen_session(stage, "latchkey 0123abcd", 60 * 1000, lock);
    stage_until_held(stage->conn, "a"); /* nothing has waited for the answer */
    PGconn *executing = frozen_session(stage, "latchkey 0123abcd", -1000, "SELECT pg_sleep(20)");
    PGconn *foreign = frozen_session(stage, "latchkey of mine", -1000, nothing);
    PGconn *silent = fixture_connect(stage->conninfo); /* the server's own limits see this one */
    fixture_exec(silent, "BEGIN; SET LOCAL application_name = 'latchkey 0123abcd until 1000'");
    PGconn *waiting = frozen_session(stage, "latchkey 0123abcd", -1000, lock);
    stage_until_waiting(stage->conn, 1);
    PGconn *overdue = frozen_session(stage, "latchkey 0123abcd", -1000, nothing);
    snprintf(is_gone, sizeof is_gone, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = %d",
             PQbackendPID(overdue));
    peer_turn_until_true(&peer, stage->conn, is_gone, LATE_US / 1000);
    peer_turn_for(&peer, 700); /* another look */
    assert_true(lives(not_yet, stage));
    assert_true(lives(executing, stage));
    assert_true(lives(foreign, stage));
    assert_true(lives(silent, stage));
    assert_true(lives(waiting, stage));
    peer_close(&peer);
    PGconn *all[] = {not_yet, executing, foreign, silent, waiting, overdue};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        PQfinish(all[i]);
}

static bool has_struck(void *proxy)
{
    return pg_proxy_n_struck(proxy) > 0;
}

/* Whatever a host has sent when its network stops: its deadline is published before its locks. */
static void host_frozen_at(struct stage *stage, enum pg_proxy_strike strike)
{
    struct peer frozen, live;
    struct ending ending;
    struct pg_proxy *proxy;
    struct fault fault;
    struct recipe recipe = {.waiting = "1500ms"};
    assert_true(pg_proxy_start(stage->conninfo, &proxy, &fault));
    peer_open(&frozen, pg_proxy_conninfo(proxy), NULL);
    peer_open_beside(&live, &frozen, stage->conninfo, NULL);
    struct workflow *here = peer_publish(&frozen, &recipe), *there = peer_publish(&live, &recipe);
    assert_int_equal(peer_run(&frozen, here, "{\"id\":1}").status, STATUS_COMPLETED);
    pg_proxy_strike(proxy, strike, 0, 1);
    peer_submit(&frozen, here, &ending, NULL, "{\"id\":1}");
    peer_turn_until(&frozen, has_struck, proxy, 5000);
    pg_proxy_freeze(proxy); /* its reserved connection too: it cannot help itself */
    struct ending next;
    peer_submit(&live, there, &next, NULL, "{\"id\":1}");
    int64_t until_us = clock_monotonic_us() + 1500 * 1000 + LATE_US;
    while (!next.n_told && clock_monotonic_us() < until_us)
        peer_turn_for(&live, 20);
    assert_int_equal(next.n_told, 1);
    assert_int_equal(next.status, STATUS_COMPLETED);
    pg_proxy_thaw(proxy);
    peer_finish(&frozen, 20 * 1000);
    assert_true(ending.status == STATUS_COMPLETED || ending.status == STATUS_EXPIRED);
    assert_int_equal(stage_total(stage), 2 + (ending.status == STATUS_COMPLETED));
    peer_close(&live);
    peer_close(&frozen);
    pg_proxy_stop(proxy);
}

static void a_host_frozen_while_it_takes_its_locks_is_ended(void **state)
{
    host_frozen_at(*state, PG_PROXY_HOLD_BEFORE_SYNC);
}

static void a_host_frozen_before_its_commit_is_ended(void **state)
{
    host_frozen_at(*state, PG_PROXY_HOLD_BEFORE_COMMIT);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int freeze_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_client_frozen_in_a_pipeline_is_ended_after_its_deadline),
        TEST(no_other_session_is_ended),
        TEST(a_host_frozen_while_it_takes_its_locks_is_ended),
        TEST(a_host_frozen_before_its_commit_is_ended),
    };
    return cmocka_run_group_tests_name("freeze", tests, stage_open, stage_close);
}
