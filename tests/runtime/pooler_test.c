/*
 * Hosts behind a PgBouncer in transaction mode: each of their transactions may have another session
 * of the server, and there are fewer of those than hosts would like. Nothing is promised less.
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
#include "lock_break.h"
#include "pg_proxy.h"
#include "pgbouncer.h"

enum {
    SOON_MS = 20 * 1000,
    LATE_US = 8000 * 1000,
};

/* ---- counting ---- */

struct field {
    int stop;
    int n_ready;
    long n_completed;
    long n_other;
    char reason[256];
};

static int get(int *flag)
{
    return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

/* One row that all want, rows that nobody else has, and scripts that keep their transaction. */
static const char *const MIXED[] = {"{\"id\":1}",         "{\"id\":2}", "{\"id\":1}", "{\"id\":3}",
                                    "{\"id\":1,\"n\":1}", "{\"id\":4}", "{\"id\":5}"};

static void run_in_field(struct peer *peer, void *arg)
{
    struct field *field = arg;
    struct recipe recipe = {.acquire = "60s",
                            .script = "local seen = data.row.value if input.n then sleep(0.005) end"
                                      " data.row.value = seen + 1"};
    struct load load = {.peer = peer,
                        .workflow = peer_publish(peer, &recipe),
                        .inputs = MIXED,
                        .n_inputs = sizeof MIXED / sizeof *MIXED,
                        .concurrency = 20};
    load_start(&load);
    __atomic_add_fetch(&field->n_ready, 1, __ATOMIC_SEQ_CST);
    while (!get(&field->stop))
        peer_turn_for(peer, 5);
    load_stop(&load, 60 * 1000);
    long n_other = load.n_started - load.counts[STATUS_COMPLETED];
    __atomic_add_fetch(&field->n_completed, load.counts[STATUS_COMPLETED], __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&field->n_other, n_other, __ATOMIC_SEQ_CST);
    if (n_other)
        snprintf(field->reason, sizeof field->reason, "%s", load.reason);
}

/* What happens to the pooler while the hosts work. */
typedef void trouble_fn(struct pgbouncer *pgbouncer);

static void count_through_it(struct stage *stage, int n_sessions, const char *more,
                             trouble_fn *trouble)
{
    enum { HOSTS = 3 };
    struct field *field = share_new(sizeof *field);
    struct pgbouncer *pgbouncer = pgbouncer_start(stage->conninfo, n_sessions, more);
    struct runtime_options options = runtime_default_options();
    struct peer first;
    pid_t pids[HOSTS];
    options.look_up_us = 30 * 1000 * 1000;
    peer_open(&first, pgbouncer_conninfo(pgbouncer), NULL); /* makes the schema */
    peer_close(&first);
    for (int i = 0; i < HOSTS; i++)
        pids[i] = peer_fork(i == 0 ? stage->conninfo : pgbouncer_conninfo(pgbouncer), &options,
                            run_in_field, field);
    while (get(&field->n_ready) < HOSTS)
        nap_ms(10);
    nap_ms(long_or(5000, 500));
    trouble(pgbouncer);
    __atomic_add_fetch(&field->stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < HOSTS; i++)
        peer_join(pids[i]);
    if (field->n_other)
        print_error("%s\n", field->reason);
    assert_int_equal(field->n_other, 0);
    assert_true(field->n_completed > 0);
    assert_int_equal(stage_total(stage), field->n_completed);
    stage_until_nothing_held(stage->conn);
    pgbouncer_stop(pgbouncer);
    share_free(field, sizeof *field);
}

static void none(struct pgbouncer *pgbouncer)
{
    (void)pgbouncer;
}

static void hosts_behind_it_and_beside_it_count_exactly(void **state)
{
    count_through_it(*state, 20, "", none);
}

static void in_session_mode_too(void **state)
{
    count_through_it(*state, 60, "pool_mode = session", none);
}

static void fewer_sessions_than_connections_only_make_it_slower(void **state)
{
    count_through_it(*state, 3, "", none);
}

static void kill_it(struct pgbouncer *pgbouncer)
{
    for (int i = 0; i < long_or(10, 2); i++) {
        pgbouncer_kill(pgbouncer);
        pgbouncer_run(pgbouncer);
        nap_ms(300);
    }
}

static void nothing_is_lost_or_done_twice_when_it_is_killed(void **state)
{
    count_through_it(*state, 20, "", kill_it);
}

/* ---- lost answers ---- */

static void cut_at_commit(struct stage *stage, enum pg_proxy_strike strike, bool before_it)
{
    enum { CUTS = 4 };
    struct pg_proxy *proxy;
    struct pgbouncer *pgbouncer;
    struct peer peer;
    struct fault fault;
    struct recipe recipe = {.acquire = "30s"};
    if (before_it) {
        pgbouncer = pgbouncer_start(stage->conninfo, 10, "");
        assert_true(pg_proxy_start(pgbouncer_conninfo(pgbouncer), &proxy, &fault));
    } else {
        assert_true(pg_proxy_start(stage->conninfo, &proxy, &fault));
        pgbouncer = pgbouncer_start(pg_proxy_conninfo(proxy), 10, "");
    }
    peer_open(&peer, before_it ? pg_proxy_conninfo(proxy) : pgbouncer_conninfo(pgbouncer), NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    assert_int_equal(peer_run(&peer, workflow, "{\"id\":1}").status, STATUS_COMPLETED);
    for (int i = 0; i < CUTS; i++) {
        pg_proxy_strike(proxy, strike, 0, 1);
        struct ending ending = peer_run(&peer, workflow, "{\"id\":1}");
        assert_string_equal(ending.reason, "");
        assert_int_equal(ending.status, STATUS_COMPLETED);
        assert_int_equal(pg_proxy_n_struck(proxy), 1);
        assert_int_equal(stage_total(stage), i + 2);
    }
    peer_close(&peer);
    pgbouncer_stop(pgbouncer);
    pg_proxy_stop(proxy);
}

static void a_commit_whose_answer_is_lost_before_or_behind_it_counts_once(void **state)
{
    cut_at_commit(*state, PG_PROXY_CUT_AFTER_COMMIT, /* before_it= */ true);
    stage_reset(state);
    cut_at_commit(*state, PG_PROXY_CUT_AFTER_COMMIT, /* before_it= */ false);
}

static void a_commit_that_is_lost_before_or_behind_it_is_run_again(void **state)
{
    cut_at_commit(*state, PG_PROXY_CUT_BEFORE_COMMIT, /* before_it= */ true);
    stage_reset(state);
    cut_at_commit(*state, PG_PROXY_CUT_BEFORE_COMMIT, /* before_it= */ false);
}

/* ---- locks ---- */

struct pair {
    struct stage *stage;
    struct pgbouncer *pgbouncer;
    struct peer behind;
    struct peer beside;
};

static void open_pair(struct pair *pair, struct stage *stage)
{
    *pair = (struct pair){.stage = stage};
    pair->pgbouncer = pgbouncer_start(stage->conninfo, 8, "");
    peer_open(&pair->behind, pgbouncer_conninfo(pair->pgbouncer), NULL);
    peer_open_beside(&pair->beside, &pair->behind, stage->conninfo, NULL);
}

static void close_pair(struct pair *pair)
{
    peer_close(&pair->beside);
    peer_close(&pair->behind);
    pgbouncer_stop(pair->pgbouncer);
}

/* One holds, the other joins PostgreSQL's queue, and goes on when it is its turn. */
static void wait_for(struct stage *stage, struct peer *holder, struct peer *waiter, int total)
{
    struct ending first, second;
    struct recipe holds = {.name = "holds",
                           .script = "local n = data.row.value sleep(0.3)"
                                     " data.row.value = n + 1"};
    struct recipe waits = {.name = "waits"};
    struct workflow *here = peer_publish(holder, &holds), *there = peer_publish(waiter, &waits);
    peer_submit(holder, here, &first, NULL, "{\"id\":1}");
    peer_turn_until_held(holder, stage->conn, "message/1");
    peer_submit(waiter, there, &second, NULL, "{\"id\":1}");
    peer_turn_until_true(waiter, stage->conn,
                         "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT"
                         " granted",
                         SOON_MS);
    peer_finish(holder, SOON_MS);
    peer_finish(waiter, SOON_MS);
    assert_int_equal(first.status, STATUS_COMPLETED);
    assert_int_equal(second.status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), total);
}

static void a_host_behind_it_and_one_beside_it_wait_for_each_other(void **state)
{
    struct pair pair;
    open_pair(&pair, *state);
    wait_for(pair.stage, &pair.behind, &pair.beside, 2);
    wait_for(pair.stage, &pair.beside, &pair.behind, 4);
    close_pair(&pair);
}

static void a_waiter_behind_it_gives_up_and_a_holder_behind_it_expires(void **state)
{
    struct pair pair;
    struct recipe waits = {.name = "waits", .acquire = "600ms"};
    struct recipe holds = {.name = "holds",
                           .waiting = "500ms",
                           .script = "data.row.value = data.row.value + 1 sleep(3)"};
    struct recipe asks = {.name = "asks",
                          .waiting = "500ms",
                          .script = "data.row.value = 7"
                                    " sql('select 1 as n from pg_sleep(3)')"};
    open_pair(&pair, *state);
    struct workflow *waiter = peer_publish(&pair.behind, &waits);
    fixture_exec(pair.stage->conn, "BEGIN; SELECT latchkey.lock('message/1')");
    assert_int_equal(peer_run(&pair.behind, waiter, "{\"id\":1}").status, STATUS_LOCKED);
    fixture_exec(pair.stage->conn, "COMMIT");
    struct ending ending = peer_run(&pair.behind, peer_publish(&pair.behind, &holds), "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_EXPIRED);
    ending = peer_run(&pair.behind, peer_publish(&pair.behind, &asks), "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_EXPIRED);
    assert_int_equal(stage_total(pair.stage), 0);
    close_pair(&pair);
}

struct stopped {
    struct ending ending;
};

static void run_one_in_child(struct peer *peer, void *shared)
{
    struct stopped *stopped = shared;
    struct recipe recipe = {.name = "frozen",
                            .waiting = "2s",
                            .acquire = "20s",
                            .script = "data.row.value = data.row.value + 1 sleep(1)"};
    peer_submit(peer, peer_publish(peer, &recipe), &stopped->ending, NULL, "{\"id\":1}");
    peer_finish(peer, 30 * 1000);
}

static void a_frozen_process_behind_it_loses_its_lock_and_saves_nothing(void **state)
{
    struct pair pair;
    struct stopped *stopped = share_new(sizeof *stopped);
    struct recipe recipe = {0};
    open_pair(&pair, *state);
    struct workflow *workflow = peer_publish(&pair.beside, &recipe);
    pid_t pid = peer_fork(pgbouncer_conninfo(pair.pgbouncer), NULL, run_one_in_child, stopped);
    stage_until_held(pair.stage->conn, "message/1");
    nap_ms(50); /* its script sleeps */
    kill(pid, SIGSTOP);
    struct ending next = peer_run(&pair.beside, workflow, "{\"id\":1}");
    assert_int_equal(next.status, STATUS_COMPLETED);
    assert_in_range(next.waited_us, 100 * 1000, 2000 * 1000 + LATE_US);
    kill(pid, SIGCONT);
    peer_join(pid);
    assert_int_equal(stopped->ending.status, STATUS_EXPIRED);
    assert_int_equal(stage_total(pair.stage), 1);
    share_free(stopped, sizeof *stopped);
    close_pair(&pair);
}

static bool has_struck(void *proxy)
{
    return pg_proxy_n_struck(proxy) > 0;
}

/* Its deadline is found under the name that the transaction has published, whatever name the pooler
 * gave the session. */
static void a_host_frozen_in_a_pipeline_behind_it_is_ended_by_another(void **state)
{
    struct stage *stage = *state;
    struct peer frozen, live;
    struct ending ending, next;
    struct pg_proxy *proxy;
    struct fault fault;
    struct recipe recipe = {.waiting = "1s"};
    struct pgbouncer *pgbouncer = pgbouncer_start(stage->conninfo, 8, "");
    assert_true(pg_proxy_start(pgbouncer_conninfo(pgbouncer), &proxy, &fault));
    peer_open(&frozen, pg_proxy_conninfo(proxy), NULL);
    peer_open_beside(&live, &frozen, pgbouncer_conninfo(pgbouncer), NULL);
    struct workflow *here = peer_publish(&frozen, &recipe), *there = peer_publish(&live, &recipe);
    assert_int_equal(peer_run(&frozen, here, "{\"id\":1}").status, STATUS_COMPLETED);
    pg_proxy_strike(proxy, PG_PROXY_HOLD_BEFORE_SYNC, 0, 1);
    peer_submit(&frozen, here, &ending, NULL, "{\"id\":1}");
    peer_turn_until(&frozen, has_struck, proxy, SOON_MS);
    pg_proxy_freeze(proxy);
    peer_submit(&live, there, &next, NULL, "{\"id\":1}");
    int64_t until_us = clock_monotonic_us() + 1000 * 1000 + LATE_US;
    while (!next.n_told && clock_monotonic_us() < until_us)
        peer_turn_for(&live, 20);
    assert_int_equal(next.n_told, 1);
    assert_int_equal(next.status, STATUS_COMPLETED);
    pg_proxy_thaw(proxy);
    peer_finish(&frozen, SOON_MS);
    assert_true(ending.status == STATUS_COMPLETED || ending.status == STATUS_EXPIRED);
    assert_int_equal(stage_total(stage), 2 + (ending.status == STATUS_COMPLETED));
    peer_close(&live);
    peer_close(&frozen);
    pg_proxy_stop(proxy);
    pgbouncer_stop(pgbouncer);
}

/* ---- breaking ---- */

static void on_broken(const char *met, const struct fault *fault, void *arg)
{
    int *n_told = arg;
    (void)met;
    if (fault)
        print_error("%s\n", fault->text);
    *n_told += fault ? 100 : 1;
}

static bool is_told(void *arg)
{
    return *(int *)arg > 0;
}

static void a_lock_behind_it_is_broken_from_behind_it(void **state)
{
    struct pair pair;
    struct ending holder, waiter;
    struct lock_break *request;
    struct fault fault;
    int n_told = 0;
    struct recipe holds = {.name = "holds", .waiting = "60s", .script = "sleep(60)"};
    struct recipe waits = {.name = "waits", .acquire = "60s"};
    open_pair(&pair, *state);
    struct workflow *here = peer_publish(&pair.behind, &holds),
                    *there = peer_publish(&pair.behind, &waits);
    peer_submit(&pair.behind, here, &holder, NULL, "{\"id\":1}");
    peer_turn_until_held(&pair.behind, pair.stage->conn, "message/1");
    peer_submit(&pair.behind, there, &waiter, NULL, "{\"id\":1}");
    assert_true(lock_break_start(pair.behind.runtime, "message/1", "ann@desk", on_broken, &n_told,
                                 &request, &fault));
    peer_turn_until(&pair.behind, is_told, &n_told, SOON_MS);
    assert_int_equal(n_told, 1);
    peer_finish(&pair.behind, SOON_MS);
    assert_string_equal(holder.reason, "its lock on message/1 was broken by ann@desk");
    assert_int_equal(holder.status, STATUS_EXPIRED);
    assert_int_equal(waiter.status, STATUS_COMPLETED);
    assert_int_equal(stage_total(pair.stage), 1);
    close_pair(&pair);
}

static void who_waits_behind_it_is_shown(void **state)
{
    struct pair pair;
    struct ending waiter;
    struct recipe waits = {.name = "waits", .acquire = "60s"};
    open_pair(&pair, *state);
    PGconn *holder = fixture_connect(pair.stage->conninfo);
    struct workflow *workflow = peer_publish(&pair.behind, &waits);
    fixture_exec(holder, "BEGIN; SELECT latchkey.lock('message/1')");
    peer_submit(&pair.behind, workflow, &waiter, NULL, "{\"id\":1}");
    peer_turn_until_true(&pair.behind, pair.stage->conn,
                         "SELECT count(*) = 1 FROM latchkey.locks WHERE path = 'message/1' AND NOT"
                         " granted AND mode = 'exclusive' AND workflow = 'waits'",
                         SOON_MS);
    PQfinish(holder);
    peer_finish(&pair.behind, SOON_MS);
    assert_int_equal(waiter.status, STATUS_COMPLETED);
    close_pair(&pair);
}

/* ---- leases ---- */

static void leases_hold_and_are_waited_for_on_both_sides_of_it(void **state)
{
    struct pair pair;
    struct ending holder, waiter;
    struct recipe holds = {.name = "holds",
                           .hold = "lease",
                           .waiting = "60s",
                           .script = "output.token = lock.token sleep(0.5)"
                                     " output.n = sql('select 1 as n')[1].n"
                                     " data.row.value = data.row.value + 1"};
    struct recipe waits = {
        .name = "waits", .acquire = "60s", .script = "data.row.value = data.row.value * 10"};
    open_pair(&pair, *state);
    struct peer *sides[] = {&pair.behind, &pair.beside};
    for (int i = 0; i < 2; i++) {
        struct peer *one = sides[i], *two = sides[1 - i];
        struct workflow *first = peer_publish(one, &holds), *second = peer_publish(two, &waits);
        peer_submit(one, first, &holder, NULL, "{\"id\":1}");
        peer_turn_until_true(one, pair.stage->conn, "SELECT count(*) = 2 FROM latchkey.lease",
                             SOON_MS);
        peer_submit(two, second, &waiter, NULL, "{\"id\":1}");
        peer_finish(one, SOON_MS);
        peer_finish(two, SOON_MS);
        assert_string_equal(holder.reason, "");
        assert_int_equal(holder.status, STATUS_COMPLETED);
        assert_true(holder.token > 0);
        assert_int_equal(waiter.status, STATUS_COMPLETED);
        assert_int_equal(stage_total(pair.stage), i == 0 ? 10 : 110);
    }
    close_pair(&pair);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int pooler_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hosts_behind_it_and_beside_it_count_exactly),
        TEST(in_session_mode_too),
        TEST(fewer_sessions_than_connections_only_make_it_slower),
        TEST(nothing_is_lost_or_done_twice_when_it_is_killed),
        TEST(a_commit_whose_answer_is_lost_before_or_behind_it_counts_once),
        TEST(a_commit_that_is_lost_before_or_behind_it_is_run_again),
        TEST(a_host_behind_it_and_one_beside_it_wait_for_each_other),
        TEST(a_waiter_behind_it_gives_up_and_a_holder_behind_it_expires),
        TEST(a_frozen_process_behind_it_loses_its_lock_and_saves_nothing),
        TEST(a_host_frozen_in_a_pipeline_behind_it_is_ended_by_another),
        TEST(a_lock_behind_it_is_broken_from_behind_it),
        TEST(who_waits_behind_it_is_shown),
        TEST(leases_hold_and_are_waited_for_on_both_sides_of_it),
    };
    if (!pgbouncer_is_installed()) {
        print_message("pooler: SKIPPED, because there is no pgbouncer on this machine\n");
        return 0;
    }
    return cmocka_run_group_tests_name("pooler", tests, stage_open, stage_close);
}
