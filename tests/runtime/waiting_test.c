/* Those who wait: what it costs, in which order, and that nobody is starved. */
#include "runtime_tests.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"

#include "clock.h"

static void session_holds(PGconn *conn, const char *path)
{
    fixture_execf(conn, "BEGIN; SELECT latchkey.lock('%s')", path);
}

static int64_t n_sessions(PGconn *conn)
{
    return fixture_int(conn, "SELECT count(*) FROM pg_stat_activity WHERE datname ="
                             " current_database() AND application_name LIKE 'latchkey%'");
}

enum {
    MANY = 2000,
    CROWD = 5000,
    WAITER_BYTES_MAX = 1536,
    LEFT_BYTES_MAX = 64, /* of each: Lua's memory is freed late */
};

static void two_thousand_that_wait_cost_no_connections(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending *endings = calloc(MANY, sizeof *endings);
    struct recipe recipe = {.acquire = "3s"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    PGconn *holder = fixture_connect(stage->conninfo);
    session_holds(holder, "message/1");
    for (int i = 0; i < MANY; i++)
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":1}");
    for (int i = 0; i < 5; i++) {
        peer_turn_for(&peer, 200);
        assert_in_range(n_sessions(stage->conn), 1, 4);
    }
    peer_finish(&peer, 20 * 1000);
    assert_in_range(n_sessions(stage->conn), 1, 12);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(endings[i].n_told, 1);
        assert_int_equal(endings[i].status, STATUS_LOCKED);
        assert_in_range(endings[i].waited_us, 3000 * 1000, 20 * 1000 * 1000);
        assert_int_equal(endings[i].attempts, 0);
    }
    PQfinish(holder);
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM latchkey.execution WHERE status"
                                              " = 'locked' AND waited_ms >= 3000"),
                     MANY);
    free(endings);
    peer_close(&peer);
}

static size_t heap_bytes(void)
{
    return mallinfo2().uordblks; /* a sanitizer's allocator counts nothing */
}

static void five_thousand_that_wait_are_small_and_leave_nothing(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    int n_told = 0;
    struct ending *endings = calloc(CROWD, sizeof *endings);
    struct recipe recipe = {.acquire = "5m"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    for (int i = 0; i < MANY; i++) /* what stays for all is there now */
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":1}");
    peer_finish(&peer, 60 * 1000);
    memset(endings, 0, CROWD * sizeof *endings);
    session_holds(stage->conn, "message/1");
    size_t before = heap_bytes();
    for (int i = 0; i < CROWD; i++)
        peer_submit(&peer, workflow, &endings[i], &n_told, "{\"id\":1}");
    peer_turn_for(&peer, 300);
    assert_int_equal(n_told, 0);
    size_t each = (heap_bytes() - before) / CROWD;
    assert_in_range(each, 0, WAITER_BYTES_MAX);
    fixture_exec(stage->conn, "COMMIT");
    peer_finish(&peer, 60 * 1000);
    assert_int_equal(n_told, CROWD);
    assert_int_equal(stage_total(stage), MANY + CROWD);
    assert_true(heap_bytes() < before + (size_t)CROWD * LEFT_BYTES_MAX);
    free(endings);
    peer_close(&peer);
}

static void those_who_waited_complete_in_their_order(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    int n_told = 0;
    struct ending *endings = calloc(MANY, sizeof *endings);
    struct recipe recipe = {
        .script = "assert(data.row.value == input.n) data.row.value = data.row.value + 1"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    session_holds(stage->conn, "message/1");
    for (int i = 0; i < MANY; i++)
        peer_submit(&peer, workflow, &endings[i], &n_told, "{\"id\":1,\"n\":%d}", i);
    peer_turn_for(&peer, 300);
    fixture_exec(stage->conn, "COMMIT");
    peer_finish(&peer, 10 * 1000);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(endings[i].status, STATUS_COMPLETED);
        assert_int_equal(endings[i].place, i);
    }
    assert_int_equal(stage_total(stage), MANY);
    free(endings);
    peer_close(&peer);
}

/* It gives up in the midst of the queue, and those behind it do not wait for it. */
static void one_that_gives_up_lets_those_behind_it_pass(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending head, gone, behind;
    struct recipe patient = {.name = "patient"}, hasty = {.name = "hasty", .acquire = "300ms"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *waits = peer_publish(&peer, &patient), *leaves = peer_publish(&peer, &hasty);
    peer_run(&peer, waits, "{\"id\":3}"); /* their tables are known now */
    peer_run(&peer, leaves, "{\"id\":3}");
    session_holds(stage->conn, "message/1");
    peer_submit(&peer, waits, &head, NULL, "{\"id\":1}");
    peer_submit(&peer, leaves, &gone, NULL, "{\"id\":1,\"path\":[\"message\"]}");
    peer_submit(&peer, waits, &behind, NULL, "{\"id\":2}");
    peer_turn_for(&peer, 200);
    assert_int_equal(behind.n_told, 0);
    peer_turn_for(&peer, 400);
    assert_int_equal(gone.status, STATUS_LOCKED);
    assert_int_equal(gone.n_told, 1);
    assert_int_equal(behind.n_told, 1);
    assert_int_equal(behind.status, STATUS_COMPLETED);
    assert_int_equal(head.n_told, 0);
    fixture_exec(stage->conn, "COMMIT");
    peer_finish(&peer, 5000);
    assert_int_equal(head.status, STATUS_COMPLETED);
    peer_close(&peer);
}

static void a_head_that_is_refused_for_long_waits_in_postgresql(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    struct recipe recipe = {0};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_run(&peer, workflow, "{\"id\":2}");
    session_holds(stage->conn, "message/1");
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    int64_t since_us = clock_monotonic_us();
    peer_turn_until_true(&peer, stage->conn,
                         "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT"
                         " granted AND database = (SELECT oid FROM pg_database WHERE datname ="
                         " current_database())",
                         1000);
    assert_in_range(clock_monotonic_us() - since_us, 40 * 1000, 8000 * 1000);
    fixture_exec(stage->conn, "COMMIT");
    peer_finish(&peer, 2000);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    peer_close(&peer);
}

/* More heads than slots: those whose lock comes free get it, whoever else stands in a slot. */
static void more_heads_than_waiter_connections_take_turns(void **state)
{
    enum { HEADS = 8 };
    struct stage *stage = *state;
    struct peer peer;
    struct ending endings[HEADS];
    PGconn *holders[HEADS];
    struct runtime_options options = runtime_default_options();
    struct recipe recipe = {.acquire = "100s"};
    char path[32];
    options.waiters = 2;
    peer_open(&peer, stage->conninfo, &options);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    for (int i = 0; i < HEADS; i++) {
        holders[i] = fixture_connect(stage->conninfo);
        snprintf(path, sizeof path, "message/%d", i + 1);
        session_holds(holders[i], path);
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":%d}", i + 1);
    }
    peer_turn_for(&peer, 400);
    for (int i = HEADS - 1; i >= 0; i--) { /* the youngest first */
        fixture_exec(holders[i], "COMMIT");
        int64_t until_us = clock_monotonic_us() + 10 * 1000 * 1000;
        while (!endings[i].n_told && clock_monotonic_us() < until_us)
            peer_turn_for(&peer, 10);
        assert_int_equal(endings[i].n_told, 1);
        assert_int_equal(endings[i].status, STATUS_COMPLETED);
        PQfinish(holders[i]);
    }
    peer_close(&peer);
}

/* ---- starving ---- */

struct crowd {
    int stop;
    int running;
    long n_completed;
    long n_other;
};

static const char *const PARTS[] = {
    "{\"id\":2,\"path\":[\"message\",1,\"part\",1]}",
    "{\"id\":3,\"path\":[\"message\",1,\"part\",2]}",
    "{\"id\":4,\"path\":[\"message\",1,\"part\",3]}",
    "{\"id\":5,\"path\":[\"message\",1,\"part\",4]}",
    "{\"id\":6,\"path\":[\"message\",1,\"part\",5]}",
};

static void keep_on(struct peer *peer, struct crowd *crowd, struct load *load)
{
    load->peer = peer;
    load_start(load);
    peer_turn_for(peer, 200);
    __atomic_store_n(&crowd->running, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&crowd->stop, __ATOMIC_SEQ_CST))
        peer_turn_for(peer, 20);
    load_stop(load, 20 * 1000);
    crowd->n_completed = load->counts[STATUS_COMPLETED];
    crowd->n_other = load->n_started - load->counts[STATUS_COMPLETED];
}

/* There is always somebody who holds message/1 shared. */
static void crowd_below(struct peer *peer, void *shared)
{
    struct recipe recipe = {.name = "crowd", .script = "sleep(0.05)"};
    struct load load = {
        .workflow = peer_publish(peer, &recipe), .inputs = PARTS, .n_inputs = 5, .concurrency = 5};
    keep_on(peer, shared, &load);
}

static void crowd_at(struct peer *peer, void *shared)
{
    static const char *const inputs[] = {"{\"id\":1}"};
    struct recipe recipe = {.name = "crowd", .script = "sleep(0.01)"};
    struct load load = {.workflow = peer_publish(peer, &recipe),
                        .inputs = inputs,
                        .n_inputs = 1,
                        .concurrency = 20};
    keep_on(peer, shared, &load);
}

static void is_not_starved_by(struct stage *stage, peer_body_fn *body)
{
    enum { TIMES = 8 };
    struct peer peer;
    struct crowd *crowd = share_new(sizeof *crowd);
    struct recipe recipe = {0};
    int64_t worst_us = 0;
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    pid_t pid = peer_fork(stage->conninfo, NULL, body, crowd);
    while (!__atomic_load_n(&crowd->running, __ATOMIC_SEQ_CST))
        nap_ms(10);
    for (int i = 0; i < TIMES; i++) {
        struct ending ending = peer_run(&peer, workflow, "{\"id\":1}");
        assert_int_equal(ending.status, STATUS_COMPLETED);
        if (ending.waited_us > worst_us)
            worst_us = ending.waited_us;
    }
    __atomic_store_n(&crowd->stop, 1, __ATOMIC_SEQ_CST);
    peer_join(pid);
    assert_in_range(worst_us, 0, 5000 * 1000);
    assert_int_equal(stage_total(stage), TIMES);
    assert_int_equal(crowd->n_other, 0);
    assert_in_range(crowd->n_completed, 10, 1000000);
    share_free(crowd, sizeof *crowd);
    peer_close(&peer);
}

static void a_waiter_is_not_starved_by_shared_holders_of_another_host(void **state)
{
    is_not_starved_by(*state, crowd_below);
}

static void a_waiter_is_not_starved_by_a_hot_path_of_another_host(void **state)
{
    is_not_starved_by(*state, crowd_at);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int waiting_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_thousand_that_wait_cost_no_connections),
        TEST(five_thousand_that_wait_are_small_and_leave_nothing),
        TEST(those_who_waited_complete_in_their_order),
        TEST(one_that_gives_up_lets_those_behind_it_pass),
        TEST(a_head_that_is_refused_for_long_waits_in_postgresql),
        TEST(more_heads_than_waiter_connections_take_turns),
        TEST(a_waiter_is_not_starved_by_shared_holders_of_another_host),
        TEST(a_waiter_is_not_starved_by_a_hot_path_of_another_host),
    };
    return cmocka_run_group_tests_name("waiting", tests, stage_open, stage_close);
}
