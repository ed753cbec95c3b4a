/*
 * A connection that is lost around COMMIT: every execution is told what really happened, and none
 * has its effect twice.
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
#include "commit_lookup.h"
#include "pg_proxy.h"
#include "uuid.h"

struct scene {
    struct stage *stage;
    struct pg_proxy *proxy;
    struct peer peer;
    struct workflow *workflow;
};

/* A host that reaches its database through the proxy, and is warm. */
static void open_scene(struct scene *scene, struct stage *stage, const struct recipe *recipe)
{
    struct runtime_options options = runtime_default_options();
    struct fault fault;
    *scene = (struct scene){.stage = stage};
    assert_true(pg_proxy_start(stage->conninfo, &scene->proxy, &fault));
    options.look_up_us = 3 * 1000 * 1000;
    peer_open(&scene->peer, pg_proxy_conninfo(scene->proxy), &options);
    scene->workflow = peer_publish(&scene->peer, recipe);
    assert_int_equal(peer_run(&scene->peer, scene->workflow, "{\"id\":1000}").status,
                     STATUS_COMPLETED);
    fixture_exec(stage->conn, "UPDATE counter SET value = 0");
}

static void close_scene(struct scene *scene)
{
    peer_close(&scene->peer);
    pg_proxy_stop(scene->proxy);
}

static int64_t n_completed(const struct scene *scene)
{
    return fixture_int(scene->stage->conn,
                       "SELECT count(*) - 1 FROM latchkey.execution WHERE status = 'completed'");
}

static void cut_singles(struct stage *stage, enum pg_proxy_strike strike, int n_cuts)
{
    struct scene scene;
    struct recipe recipe = {.acquire = "30s"};
    open_scene(&scene, stage, &recipe);
    for (int i = 0; i < n_cuts; i++) {
        pg_proxy_strike(scene.proxy, strike, 0, 1);
        struct ending ending = peer_run(&scene.peer, scene.workflow, "{\"id\":1}");
        assert_int_equal(ending.status, STATUS_COMPLETED);
        assert_int_equal(pg_proxy_n_struck(scene.proxy), 1);
        assert_int_equal(ending.attempts, strike == PG_PROXY_CUT_AFTER_COMMIT ? 1 : 2);
        assert_int_equal(stage_total(stage), i + 1);
    }
    assert_int_equal(n_completed(&scene), n_cuts);
    assert_int_equal(stage_n_granted(stage->conn), 0);
    close_scene(&scene);
}

static void a_commit_whose_answer_is_lost_counts_once(void **state)
{
    cut_singles(*state, PG_PROXY_CUT_AFTER_COMMIT, long_or(200, 50));
}

static void a_commit_that_never_arrived_is_run_again(void **state)
{
    cut_singles(*state, PG_PROXY_CUT_BEFORE_COMMIT, long_or(100, 12));
}

/* Each round one batch of many is struck, some on the same path. */
static void cut_batches(struct stage *stage, enum pg_proxy_strike strike, int n_cuts)
{
    enum { MEMBERS = 24 };
    struct scene scene;
    struct ending endings[MEMBERS];
    struct recipe recipe = {.acquire = "30s"};
    open_scene(&scene, stage, &recipe);
    for (int i = 0; i < n_cuts; i++) {
        pg_proxy_strike(scene.proxy, strike, 0, 1);
        for (int m = 0; m < MEMBERS; m++)
            peer_submit(&scene.peer, scene.workflow, &endings[m], NULL, "{\"id\":%d}",
                        1 + m % (MEMBERS / 2));
        peer_finish(&scene.peer, 20 * 1000);
        assert_int_equal(pg_proxy_n_struck(scene.proxy), 1);
        for (int m = 0; m < MEMBERS; m++) {
            assert_int_equal(endings[m].status, STATUS_COMPLETED);
            assert_int_equal(endings[m].n_told, 1);
        }
        assert_int_equal(stage_total(stage), (i + 1) * MEMBERS);
    }
    assert_int_equal(n_completed(&scene), n_cuts * MEMBERS);
    assert_int_equal(fixture_int(stage->conn,
                                 "SELECT count(DISTINCT value) FROM counter WHERE id <="
                                 " 12"),
                     1);
    close_scene(&scene);
}

static void a_batch_whose_answer_is_lost_counts_once(void **state)
{
    cut_batches(*state, PG_PROXY_CUT_AFTER_COMMIT, long_or(100, 20));
}

static void a_batch_whose_commit_never_arrived_is_run_again(void **state)
{
    cut_batches(*state, PG_PROXY_CUT_BEFORE_COMMIT, long_or(100, 8));
}

/* ---- the look-up ---- */

static bool has_struck(void *proxy)
{
    return pg_proxy_n_struck(proxy) > 0;
}

/* The next COMMIT on the wire is the look-up's own. */
static void cut_the_look_up_too(struct stage *stage, enum pg_proxy_strike first,
                                enum pg_proxy_strike second)
{
    enum { ROUNDS_MAX = 20 };
    struct scene scene;
    struct ending ending;
    struct recipe recipe = {0};
    int n_struck = 0;
    open_scene(&scene, stage, &recipe);
    /* Again if the look-up was sooner than the second strike. */
    for (int round = 1; round <= ROUNDS_MAX && !n_struck; round++) {
        pg_proxy_strike(scene.proxy, first, 0, 1);
        peer_submit(&scene.peer, scene.workflow, &ending, NULL, "{\"id\":1}");
        peer_turn_until(&scene.peer, has_struck, scene.proxy, 5000);
        pg_proxy_strike(scene.proxy, second, 0, 1);
        peer_finish(&scene.peer, 20 * 1000);
        n_struck = pg_proxy_n_struck(scene.proxy);
        assert_int_equal(ending.status, STATUS_COMPLETED);
        assert_int_equal(ending.attempts, first == PG_PROXY_CUT_AFTER_COMMIT ? 1 : 2);
        assert_int_equal(stage_total(stage), round);
    }
    assert_int_equal(n_struck, 1);
    close_scene(&scene);
}

static void the_look_up_s_own_answer_may_be_lost(void **state)
{
    cut_the_look_up_too(*state, PG_PROXY_CUT_AFTER_COMMIT, PG_PROXY_CUT_AFTER_COMMIT);
}

static void the_look_up_s_own_commit_may_be_lost(void **state)
{
    cut_the_look_up_too(*state, PG_PROXY_CUT_AFTER_COMMIT, PG_PROXY_CUT_BEFORE_COMMIT);
}

static void a_void_whose_answer_is_lost_is_still_void(void **state)
{
    cut_the_look_up_too(*state, PG_PROXY_CUT_BEFORE_COMMIT, PG_PROXY_CUT_AFTER_COMMIT);
}

struct fact {
    bool told;
    enum commit_fact fact;
};

static void on_fact(enum commit_fact what, void *arg)
{
    struct fact *fact = arg;
    fact->told = true;
    fact->fact = what;
}

static bool is_told(void *fact)
{
    return ((struct fact *)fact)->told;
}

/* Of a distant future: one of long ago would not be asked about. */
static const char ATTEMPT[] = "7fffffff-0000-7000-8000-0123456789ab";
static const char INSERT_MARK[] = "INSERT INTO latchkey.commit_mark (attempt) VALUES"
                                  " ('7fffffff-0000-7000-8000-0123456789ab')";

static void look_up(struct peer *peer, int timeout_ms, struct fact *fact)
{
    struct commit_lookup *lookup;
    struct fault fault;
    *fact = (struct fact){0};
    assert_true(commit_lookup_start(peer->runtime, ATTEMPT,
                                    clock_monotonic_us() + (int64_t)timeout_ms * 1000, on_fact,
                                    fact, &lookup, &fault));
}

static void an_open_transaction_is_waited_for(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct fact fact;
    peer_open(&peer, stage->conninfo, NULL);
    fixture_execf(stage->conn, "BEGIN; %s", INSERT_MARK);
    look_up(&peer, 10 * 1000, &fact);
    peer_turn_for(&peer, 400);
    assert_false(fact.told);
    fixture_exec(stage->conn, "COMMIT");
    peer_turn_until(&peer, is_told, &fact, 2000);
    assert_int_equal(fact.fact, COMMIT_HAPPENED);
    peer_close(&peer);
}

static void an_open_transaction_that_ends_without_it_never_happened(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct fact fact;
    peer_open(&peer, stage->conninfo, NULL);
    fixture_execf(stage->conn, "BEGIN; %s", INSERT_MARK);
    look_up(&peer, 10 * 1000, &fact);
    peer_turn_for(&peer, 200);
    assert_false(fact.told);
    fixture_exec(stage->conn, "ROLLBACK");
    peer_turn_until(&peer, is_told, &fact, 2000);
    assert_int_equal(fact.fact, COMMIT_NEVER);
    peer_close(&peer);
}

static void what_was_looked_up_as_void_can_never_commit(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct fact fact;
    char sqlstate[6];
    peer_open(&peer, stage->conninfo, NULL);
    fixture_exec(stage->conn, "BEGIN; UPDATE counter SET value = 1 WHERE id = 1");
    look_up(&peer, 10 * 1000, &fact);
    peer_turn_until(&peer, is_told, &fact, 2000);
    assert_int_equal(fact.fact, COMMIT_NEVER);
    fixture_exec_fails(stage->conn, INSERT_MARK, sqlstate);
    assert_string_equal(sqlstate, "23505");
    fixture_exec(stage->conn, "ROLLBACK");
    look_up(&peer, 10 * 1000, &fact); /* and says so again */
    peer_turn_until(&peer, is_told, &fact, 2000);
    assert_int_equal(fact.fact, COMMIT_NEVER);
    peer_close(&peer);
}

static void a_transaction_that_stays_open_is_unknown_in_the_end(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct fact fact;
    peer_open(&peer, stage->conninfo, NULL);
    fixture_execf(stage->conn, "BEGIN; %s", INSERT_MARK);
    int64_t since_us = clock_monotonic_us();
    look_up(&peer, 600, &fact);
    peer_turn_until(&peer, is_told, &fact, 5000);
    assert_int_equal(fact.fact, COMMIT_UNKNOWN);
    assert_in_range(clock_monotonic_us() - since_us, 600 * 1000, 10 * 1000 * 1000);
    fixture_exec(stage->conn, "ROLLBACK");
    peer_close(&peer);
}

/* The host gives up on a server that is silent from COMMIT on, while the transaction is open. */
static void a_commit_that_comes_after_its_look_up_is_refused(void **state)
{
    struct stage *stage = *state;
    struct scene scene;
    struct ending ending;
    struct recipe recipe = {.waiting = "1500ms", .acquire = "20s"};
    open_scene(&scene, stage, &recipe);
    pg_proxy_strike(scene.proxy, PG_PROXY_HOLD_BEFORE_COMMIT, 0, 1);
    peer_submit(&scene.peer, scene.workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_until(&scene.peer, has_struck, scene.proxy, 5000);
    peer_finish(&scene.peer, 20 * 1000);
    pg_proxy_thaw(scene.proxy);
    nap_ms(200);
    assert_true(ending.status == STATUS_COMPLETED || ending.status == STATUS_EXPIRED);
    assert_int_equal(stage_total(stage), ending.status == STATUS_COMPLETED);
    close_scene(&scene);
}

/* The server has committed; its answer comes after the host's patience. */
static void an_answer_that_comes_too_late_is_looked_up(void **state)
{
    struct stage *stage = *state;
    struct scene scene;
    struct ending ending;
    struct recipe recipe = {.waiting = "1500ms", .acquire = "20s"};
    open_scene(&scene, stage, &recipe);
    pg_proxy_strike(scene.proxy, PG_PROXY_HOLD_AFTER_COMMIT, 0, 1);
    peer_submit(&scene.peer, scene.workflow, &ending, NULL, "{\"id\":1}");
    peer_finish(&scene.peer, 20 * 1000);
    pg_proxy_thaw(scene.proxy);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(ending.attempts, 1);
    assert_int_equal(stage_total(stage), 1);
    close_scene(&scene);
}

static void a_database_that_does_not_come_back_leaves_it_unknown(void **state)
{
    struct stage *stage = *state;
    struct scene scene;
    struct ending ending;
    struct recipe recipe = {.waiting = "1s", .acquire = "2s"};
    open_scene(&scene, stage, &recipe);
    pg_proxy_strike(scene.proxy, PG_PROXY_CUT_AFTER_COMMIT, 0, 1);
    pg_proxy_set_away(scene.proxy, true);
    int64_t since_us = clock_monotonic_us();
    peer_submit(&scene.peer, scene.workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_until(&scene.peer, has_struck, scene.proxy, 5000);
    pg_proxy_cut(scene.proxy); /* the reserved connection too */
    peer_finish(&scene.peer, 20 * 1000);
    assert_int_equal(ending.status, STATUS_UNKNOWN);
    assert_in_range(clock_monotonic_us() - since_us, 2900 * 1000, 20 * 1000 * 1000);
    assert_int_equal(stage_total(stage), 1);
    pg_proxy_set_away(scene.proxy, false); /* and the host goes on */
    peer_turn_for(&scene.peer, 500);
    assert_int_equal(peer_run(&scene.peer, scene.workflow, "{\"id\":1}").status, STATUS_COMPLETED);
    close_scene(&scene);
}

static void a_database_that_comes_back_in_time_is_asked(void **state)
{
    struct stage *stage = *state;
    struct scene scene;
    struct ending ending;
    struct recipe recipe = {0};
    open_scene(&scene, stage, &recipe);
    pg_proxy_strike(scene.proxy, PG_PROXY_CUT_AFTER_COMMIT, 0, 1);
    pg_proxy_set_away(scene.proxy, true);
    peer_submit(&scene.peer, scene.workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_until(&scene.peer, has_struck, scene.proxy, 5000);
    pg_proxy_cut(scene.proxy);
    peer_turn_for(&scene.peer, 1200);
    assert_int_equal(ending.n_told, 0);
    pg_proxy_set_away(scene.proxy, false);
    peer_finish(&scene.peer, 10 * 1000);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), 1);
    close_scene(&scene);
}

/* However long it takes to learn that it did not: it was in time when the connection was lost. */
static void a_long_look_up_does_not_make_it_expire(void **state)
{
    struct stage *stage = *state;
    struct scene scene;
    struct ending ending;
    struct recipe recipe = {.waiting = "500ms", .acquire = "20s"};
    open_scene(&scene, stage, &recipe);
    pg_proxy_strike(scene.proxy, PG_PROXY_CUT_BEFORE_COMMIT, 0, 1);
    pg_proxy_set_away(scene.proxy, true);
    peer_submit(&scene.peer, scene.workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_until(&scene.peer, has_struck, scene.proxy, 5000);
    pg_proxy_cut(scene.proxy);
    peer_turn_for(&scene.peer, 700);
    pg_proxy_set_away(scene.proxy, false);
    peer_finish(&scene.peer, 10 * 1000);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(ending.attempts, 2);
    assert_int_equal(stage_total(stage), 1);
    close_scene(&scene);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int lost_answer_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_commit_whose_answer_is_lost_counts_once),
        TEST(a_commit_that_never_arrived_is_run_again),
        TEST(a_batch_whose_answer_is_lost_counts_once),
        TEST(a_batch_whose_commit_never_arrived_is_run_again),
        TEST(the_look_up_s_own_answer_may_be_lost),
        TEST(the_look_up_s_own_commit_may_be_lost),
        TEST(a_void_whose_answer_is_lost_is_still_void),
        TEST(an_open_transaction_is_waited_for),
        TEST(an_open_transaction_that_ends_without_it_never_happened),
        TEST(what_was_looked_up_as_void_can_never_commit),
        TEST(a_transaction_that_stays_open_is_unknown_in_the_end),
        TEST(a_commit_that_comes_after_its_look_up_is_refused),
        TEST(an_answer_that_comes_too_late_is_looked_up),
        TEST(a_database_that_does_not_come_back_leaves_it_unknown),
        TEST(a_database_that_comes_back_in_time_is_asked),
        TEST(a_long_look_up_does_not_make_it_expire),
    };
    return cmocka_run_group_tests_name("lost_answer", tests, stage_open, stage_close);
}
