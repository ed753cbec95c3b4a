/* How leases end: in time, late, broken, with their host or with the database, and around commits
 * whose answers are lost. */
#include "runtime_tests.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "peer.h"

#include "clock.h"
#include "pg_proxy.h"
#include "pg_server.h"
#include "pg_server_dir.h"

static const char LEASED[] = "SELECT count(*) = 2 FROM latchkey.lease";

static int64_t n_leases(const struct stage *stage)
{
    return fixture_int(stage->conn, "SELECT count(*) FROM latchkey.lease");
}

static bool is_told(void *ending)
{
    return ((struct ending *)ending)->n_told > 0;
}

/* ---- time ---- */

static void who_outlasts_its_lease_is_expired_and_the_next_has_a_larger_token(void **state)
{
    struct stage *stage = *state;
    struct peer one, two;
    struct ending late, next[4];
    struct recipe sleeps = {.name = "sleeps",
                            .hold = "lease",
                            .waiting = "2s",
                            .script = "data.row.value = 1000 sleep(5)"};
    struct recipe held = {.name = "held", .acquire = "60s"};
    struct recipe leased = {.name = "leased", .acquire = "60s", .hold = "lease"};
    peer_open(&one, stage->conninfo, NULL);
    peer_open_beside(&two, &one, stage->conninfo, NULL);
    struct workflow *first = peer_publish(&one, &sleeps);
    struct workflow *later[] = {peer_publish(&two, &held), peer_publish(&two, &leased)};
    int64_t before_us = clock_monotonic_us();
    peer_submit(&one, first, &late, NULL, "{\"id\":1}");
    peer_turn_until_true(&one, stage->conn, LEASED, 10 * 1000);
    peer_submit(&two, later[0], &next[0], NULL, "{\"id\":1}");
    peer_submit(&two, later[0], &next[1], NULL, "{\"id\":2,\"path\":[\"message\"]}");
    peer_submit(&two, later[0], &next[2], NULL, "{\"id\":3,\"path\":[\"message\",1,\"part\",2]}");
    peer_submit(&two, later[1], &next[3], NULL, "{\"id\":1}");
    peer_finish(&one, 30 * 1000);
    peer_finish(&two, 30 * 1000);
    assert_int_equal(late.status, STATUS_EXPIRED);
    assert_string_equal(late.reason, "held longer than the waiting timeout");
    assert_true(late.token > 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(next[i].status, STATUS_COMPLETED);
        assert_true(next[i].told_us - before_us >= 1900 * 1000); /* it waited for the lease */
    }
    assert_true(next[3].token > late.token);
    assert_int_equal(stage_total(stage), 4);
    assert_int_equal(n_leases(stage), 0);
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM latchkey.execution WHERE status"
                                              " = 'expired' AND token IS NOT NULL"),
                     1);
    /* the instance stays at its commit point and goes on later */
    assert_int_equal(fixture_int(stage->conn,
                                 "SELECT count(*) FROM latchkey.instance i JOIN latchkey.job j ON"
                                 " j.instance = i.id WHERE i.status = 'running' AND i.process IS"
                                 " NULL AND i.activity = 'act'"),
                     1);
    peer_close(&two);
    peer_close(&one);
}

/* The database's clock decides: rows that are there and expired are as good as gone. */
static void an_expired_row_ends_nothing_well(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    struct recipe recipe = {.hold = "lease",
                            .waiting = "60s",
                            .script = "data.row.value = data.row.value + 1 sleep(0.5)"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_until_true(&peer, stage->conn, LEASED, 10 * 1000);
    fixture_exec(stage->conn, "UPDATE latchkey.lease SET expires_at = clock_timestamp() WHERE path"
                              " LIKE 'message%'");
    peer_finish(&peer, 20 * 1000);
    assert_int_equal(ending.status, STATUS_EXPIRED);
    assert_int_equal(stage_total(stage), 0);
    assert_int_equal(n_leases(stage), 0);
    peer_close(&peer);
}

static void a_broken_lease_keeps_nothing(void **state)
{
    struct stage *stage = *state;
    struct peer one, two;
    struct ending broken, next;
    struct recipe recipe = {.hold = "lease",
                            .waiting = "60s",
                            .script = "data.row.value = data.row.value + 1000"
                                      " while sql(\"select value from counter where id = 9\")[1]"
                                      ".value == 0 do sleep(0.05) end"};
    struct recipe quick = {.name = "quick", .acquire = "60s", .hold = "lease"};
    peer_open(&one, stage->conninfo, NULL);
    peer_open_beside(&two, &one, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&one, &recipe), *after = peer_publish(&two, &quick);
    peer_submit(&one, workflow, &broken, NULL, "{\"id\":1}");
    peer_turn_until_true(&one, stage->conn, LEASED, 10 * 1000);
    fixture_exec(stage->conn, "DELETE FROM latchkey.lease");
    peer_submit(&two, after, &next, NULL, "{\"id\":1}");
    peer_turn_until(&one, is_told, &next, 20 * 1000);
    assert_int_equal(next.status, STATUS_COMPLETED);
    fixture_exec(stage->conn, "UPDATE counter SET value = 1 WHERE id = 9");
    peer_finish(&one, 20 * 1000);
    assert_int_equal(broken.status, STATUS_EXPIRED);
    assert_string_equal(broken.reason, "its lease was broken");
    assert_true(next.token > broken.token);
    assert_int_equal(stage_total(stage), 2);
    peer_close(&two);
    peer_close(&one);
}

/* A late release must not free what the next one holds. */
static void a_late_release_does_not_free_the_next_one_s_lease(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending late;
    struct recipe recipe = {.hold = "lease", .waiting = "60s", .script = "sleep(0.7) fail(\"no\")"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_submit(&peer, workflow, &late, NULL, "{\"id\":1}");
    peer_turn_until_true(&peer, stage->conn, LEASED, 10 * 1000);
    fixture_exec(stage->conn, "UPDATE latchkey.lease SET token = token + 100");
    peer_finish(&peer, 20 * 1000);
    assert_int_equal(late.status, STATUS_FAILED);
    assert_int_equal(n_leases(stage), 2);
    peer_close(&peer);
}

static void what_keeps_nothing_gives_its_lease_back_at_once(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe fails = {
        .name = "fails", .hold = "lease", .waiting = "1h", .script = "error(\"no\")"};
    struct recipe says_no = {
        .name = "says-no", .hold = "lease", .waiting = "1h", .guard = "data.row.value > 0"};
    peer_open(&peer, stage->conninfo, NULL);
    struct ending ending = peer_run(&peer, peer_publish(&peer, &fails), "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_FAILED);
    assert_int_equal(n_leases(stage), 0);
    ending = peer_run(&peer, peer_publish(&peer, &says_no), "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_BLOCKED);
    assert_true(ending.token > 0);
    assert_int_equal(n_leases(stage), 0);
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM latchkey.instance WHERE status"
                                              " IN ('failed', 'blocked') AND process IS NULL"),
                     2);
    peer_close(&peer);
}

/* ---- commits whose answers are lost ---- */

/* The first COMMIT takes the lease, the second ends it. */
static void cut_a_commit(struct stage *stage, enum pg_proxy_strike strike, int which, int attempts)
{
    struct peer peer;
    struct pg_proxy *proxy;
    struct fault fault;
    struct recipe recipe = {.hold = "lease", .acquire = "30s", .waiting = "30s"};
    assert_true(pg_proxy_start(stage->conninfo, &proxy, &fault));
    peer_open(&peer, pg_proxy_conninfo(proxy), NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    int64_t token = peer_run(&peer, workflow, "{\"id\":1}").token;
    for (int i = 0; i < long_or(30, 5); i++) {
        pg_proxy_strike(proxy, strike, which, 1);
        struct ending ending = peer_run(&peer, workflow, "{\"id\":1}");
        assert_string_equal(ending.reason, "");
        assert_int_equal(ending.status, STATUS_COMPLETED);
        assert_int_equal(pg_proxy_n_struck(proxy), 1);
        assert_int_equal(ending.attempts, attempts);
        assert_true(ending.token > token);
        token = ending.token;
        assert_int_equal(stage_total(stage), i + 2);
        assert_int_equal(n_leases(stage), 0);
        assert_int_equal(fixture_int(stage->conn, "SELECT token FROM latchkey.execution ORDER BY"
                                                  " finished_at DESC LIMIT 1"),
                         token);
        pg_proxy_strike(proxy, strike, 0, 0);
    }
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM latchkey.instance WHERE status"
                                              " <> 'completed'"),
                     0);
    peer_close(&peer);
    pg_proxy_stop(proxy);
}

static void the_answer_to_the_taking_may_be_lost(void **state)
{
    cut_a_commit(*state, PG_PROXY_CUT_AFTER_COMMIT, 0, /* attempts= */ 1);
}

static void a_taking_that_never_arrived_is_taken_again(void **state)
{
    cut_a_commit(*state, PG_PROXY_CUT_BEFORE_COMMIT, 0, /* attempts= */ 2);
}

static void the_answer_to_the_end_may_be_lost(void **state)
{
    cut_a_commit(*state, PG_PROXY_CUT_AFTER_COMMIT, 1, /* attempts= */ 1);
}

/* Its work outside is done: only the end is repeated. */
static void an_end_that_never_arrived_is_sent_again(void **state)
{
    cut_a_commit(*state, PG_PROXY_CUT_BEFORE_COMMIT, 1, /* attempts= */ 1);
}

/* Cuts the connection at one Sync after the other. */
static void whatever_step_the_connection_is_lost_in_it_counts_once(void **state)
{
    enum { STEPS = 16 };
    struct stage *stage = *state;
    struct peer peer;
    struct pg_proxy *proxy;
    struct fault fault;
    struct recipe recipe = {.hold = "lease",
                            .acquire = "30s",
                            .waiting = "30s",
                            .script = "data.row.value = data.row.value + 1 sql(\"select 1 as n\")"
                                      " objects.load(\"counter\", {id = 2})"};
    assert_true(pg_proxy_start(stage->conninfo, &proxy, &fault));
    peer_open(&peer, pg_proxy_conninfo(proxy), NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    assert_int_equal(peer_run(&peer, workflow, "{\"id\":1}").status, STATUS_COMPLETED);
    for (int i = 0; i < STEPS; i++) {
        pg_proxy_strike(proxy, PG_PROXY_CUT_BEFORE_SYNC, i % (STEPS / 2), 1);
        struct ending ending = peer_run(&peer, workflow, "{\"id\":1}");
        assert_string_equal(ending.reason, "");
        assert_int_equal(ending.status, STATUS_COMPLETED);
        assert_int_equal(stage_total(stage), i + 2);
        pg_proxy_strike(proxy, PG_PROXY_CUT_BEFORE_SYNC, 0, 0);
    }
    assert_int_equal(n_leases(stage), 0);
    peer_close(&peer);
    pg_proxy_stop(proxy);
}

/* What a request reads is asked for once more: the script has no part in it. Which Sync is the
 * request's may shift by one of the host's own now and then. */
static void a_request_whose_connection_is_lost_is_sent_again(void **state)
{
    enum { ROUNDS = 6, REQUEST = 3 };
    struct stage *stage = *state;
    struct peer peer;
    struct pg_proxy *proxy;
    struct fault fault;
    int n_once = 0;
    struct recipe recipe = {
        .hold = "lease",
        .acquire = "30s",
        .waiting = "30s",
        .script = "data.row.value = data.row.value + 1 for i = 1, 4 do sql(\"select 1 as n\") end"};
    assert_true(pg_proxy_start(stage->conninfo, &proxy, &fault));
    peer_open(&peer, pg_proxy_conninfo(proxy), NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    assert_int_equal(peer_run(&peer, workflow, "{\"id\":1}").status, STATUS_COMPLETED);
    for (int i = 0; i < ROUNDS; i++) {
        pg_proxy_strike(proxy, PG_PROXY_CUT_BEFORE_SYNC, REQUEST + i % 2, 1);
        struct ending ending = peer_run(&peer, workflow, "{\"id\":1}");
        assert_int_equal(ending.status, STATUS_COMPLETED);
        assert_int_equal(pg_proxy_n_struck(proxy), 1);
        n_once += ending.attempts == 1;
        pg_proxy_strike(proxy, PG_PROXY_CUT_BEFORE_SYNC, 0, 0);
    }
    assert_in_range(n_once, ROUNDS / 2, ROUNDS);
    assert_int_equal(stage_total(stage), ROUNDS + 1);
    peer_close(&peer);
    pg_proxy_stop(proxy);
}

/* ---- hosts ---- */

struct held {
    struct ending ending;
};

static void hold_in_child(struct peer *peer, void *shared)
{
    struct held *held = shared;
    struct recipe recipe = {.hold = "lease",
                            .waiting = "1500ms",
                            .acquire = "20s",
                            .script = "data.row.value = data.row.value + 1000 sleep(0.5)"};
    peer_submit(peer, peer_publish(peer, &recipe), &held->ending, NULL, "{\"id\":1}");
    peer_finish(peer, 30 * 1000);
}

/* Another host takes the path after the child was hit. */
static void hit_holder(struct stage *stage, struct held *held, int signal_sent, pid_t *pid)
{
    struct peer peer;
    struct recipe recipe = {.name = "next", .hold = "lease", .acquire = "60s"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    *pid = peer_fork(stage->conninfo, NULL, hold_in_child, held);
    fixture_eventually_true(stage->conn, LEASED, 20 * 1000);
    kill(*pid, signal_sent);
    int64_t token = fixture_int(stage->conn, "SELECT max(token) FROM latchkey.lease");
    struct ending ending = peer_run(&peer, workflow, "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_true(ending.token > token);
    assert_int_equal(stage_total(stage), 1);
    peer_close(&peer);
}

static void a_dead_host_s_lease_expires(void **state)
{
    struct stage *stage = *state;
    struct held *held = share_new(sizeof *held);
    int status;
    pid_t pid;
    hit_holder(stage, held, SIGKILL, &pid);
    waitpid(pid, &status, 0);
    share_free(held, sizeof *held);
}

static void a_frozen_host_loses_its_lease_and_saves_nothing(void **state)
{
    struct stage *stage = *state;
    struct held *held = share_new(sizeof *held);
    pid_t pid;
    hit_holder(stage, held, SIGSTOP, &pid);
    kill(pid, SIGCONT);
    peer_join(pid);
    assert_int_equal(held->ending.status, STATUS_EXPIRED);
    assert_int_equal(stage_total(stage), 1);
    assert_int_equal(n_leases(stage), 0);
    share_free(held, sizeof *held);
}

struct crowd {
    long completed, other;
    char reason[256];
};

static void add_in_child(struct peer *peer, void *shared)
{
    static const char *const inputs[] = {"{\"id\":1}", "{\"id\":1,\"path\":[\"message\"]}",
                                         "{\"id\":1,\"path\":[\"message\",1,\"part\",1]}"};
    struct crowd *crowd = shared;
    struct recipe leased = {.hold = "lease", .acquire = "120s"}, held = {.acquire = "120s"};
    held.name = "held";
    struct load loads[2];
    for (int i = 0; i < 2; i++) {
        loads[i] = (struct load){.peer = peer,
                                 .workflow = peer_publish(peer, i ? &held : &leased),
                                 .inputs = inputs,
                                 .n_inputs = i ? 3 : 1,
                                 .concurrency = 4,
                                 .n_wanted = long_or(300, 30)};
        load_start(&loads[i]);
    }
    peer_finish(peer, 120 * 1000);
    for (int i = 0; i < 2; i++) {
        __atomic_add_fetch(&crowd->completed, loads[i].counts[STATUS_COMPLETED], __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&crowd->other, loads[i].n_started - loads[i].counts[STATUS_COMPLETED],
                           __ATOMIC_SEQ_CST);
        if (loads[i].reason[0])
            snprintf(crowd->reason, sizeof crowd->reason, "%s", loads[i].reason);
    }
}

/* Leases and transactions of several hosts on paths that conflict: each adds one. */
static void leases_and_transactions_of_several_hosts_lose_nothing(void **state)
{
    enum { HOSTS = 3 };
    struct stage *stage = *state;
    struct crowd *crowd = share_new(sizeof *crowd);
    struct peer peer;
    pid_t pids[HOSTS];
    peer_open(&peer, stage->conninfo, NULL);
    peer_close(&peer);
    for (int i = 0; i < HOSTS; i++)
        pids[i] = peer_fork(stage->conninfo, NULL, add_in_child, crowd);
    for (int i = 0; i < HOSTS; i++)
        peer_join(pids[i]);
    assert_string_equal(crowd->reason, "");
    assert_int_equal(crowd->other, 0);
    assert_int_equal(crowd->completed, HOSTS * 2 * long_or(300, 30));
    assert_int_equal(stage_total(stage), crowd->completed);
    assert_int_equal(n_leases(stage), 0);
    /* tokens grow in the order of what was saved: all were on one path */
    assert_int_equal(fixture_int(stage->conn,
                                 "SELECT count(*) FROM (SELECT token, lag(token) OVER (ORDER BY"
                                 " finished_at) AS before FROM latchkey.execution WHERE token IS"
                                 " NOT NULL) t WHERE token <= before"),
                     0);
    share_free(crowd, sizeof *crowd);
}

/* ---- the database ---- */

struct place {
    char base[64];
    char data[96];
    char conninfo[FIXTURE_CONNINFO_BYTES];
};

static void start(struct place *place)
{
    struct text conninfo;
    struct fault fault;
    text_init(&conninfo, FIXTURE_CONNINFO_BYTES - 1);
    if (!pg_server_start(place->data, &conninfo, /* started= */ NULL, &fault))
        fail_msg("%s", fault.text);
    snprintf(place->conninfo, sizeof place->conninfo, "%s", text_chars(&conninfo));
    text_done(&conninfo);
}

/* All at once: nobody writes anything any more. */
static void crash(const struct place *place, PGconn *conn)
{
    char path[160];
    int pid = 0;
    int64_t backends[64];
    PGresult *rows = PQexec(conn, "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                                  " UNION ALL SELECT pg_backend_pid()");
    int n = PQntuples(rows);
    assert_in_range(n, 1, 64);
    for (int i = 0; i < n; i++)
        backends[i] = atoll(PQgetvalue(rows, i, 0));
    PQclear(rows);
    snprintf(path, sizeof path, "%s/postgres/postmaster.pid", place->data);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &pid), 1);
    fclose(file);
    kill(pid, SIGKILL);
    for (int i = 0; i < n; i++)
        kill((pid_t)backends[i], SIGKILL);
}

/* Even where commits are not durable by default. */
static void tokens_grow_over_a_crash_of_the_database(void **state)
{
    struct peer peer;
    struct ending held, next;
    struct place place;
    struct fault fault;
    struct recipe sleeps = {.hold = "lease",
                            .waiting = "3s",
                            .acquire = "60s",
                            .script = "data.row.value = data.row.value + 1000 sleep(20)"};
    struct recipe quick = {.name = "quick", .hold = "lease", .acquire = "60s"};
    (void)state;
    snprintf(place.base, sizeof place.base, "/var/tmp/latchkey-lease-XXXXXX");
    assert_non_null(mkdtemp(place.base));
    assert_int_equal(chmod(place.base, 0755), 0);
    snprintf(place.data, sizeof place.data, "%s/data", place.base);
    start(&place);
    PGconn *conn = fixture_connect(place.conninfo);
    fixture_exec(conn, "ALTER SYSTEM SET synchronous_commit = off");
    fixture_exec(conn, "ALTER SYSTEM SET wal_writer_delay = '10s'");
    fixture_exec(conn, "SELECT pg_reload_conf()");
    stage_fill(conn);
    peer_open(&peer, place.conninfo, NULL);
    struct workflow *first = peer_publish(&peer, &sleeps), *later = peer_publish(&peer, &quick);
    fixture_exec(conn, "CHECKPOINT");
    peer_submit(&peer, first, &held, NULL, "{\"id\":1}");
    peer_turn_until_true(&peer, conn, LEASED, 20 * 1000);
    peer_turn_for(&peer, 300); /* its script has seen the token */
    crash(&place, conn);
    PQfinish(conn);
    start(&place);
    conn = fixture_connect(place.conninfo);
    assert_int_equal(fixture_int(conn, "SELECT count(*) FROM latchkey.lease"), 2);
    int64_t token = fixture_int(conn, "SELECT max(token) FROM latchkey.lease");
    peer_submit(&peer, later, &next, NULL, "{\"id\":1}");
    peer_finish(&peer, 60 * 1000);
    assert_int_equal(held.status, STATUS_EXPIRED);
    assert_int_equal(held.token, token);
    assert_int_equal(next.status, STATUS_COMPLETED);
    assert_true(next.token > held.token);
    assert_int_equal(fixture_int(conn, "SELECT sum(value)::bigint FROM counter"), 1);
    PQfinish(conn);
    peer_close(&peer);
    assert_true(pg_server_stop(place.data, NULL, &fault));
    pg_server_dir_remove_tree(place.base);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int lease_end_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_outlasts_its_lease_is_expired_and_the_next_has_a_larger_token),
        TEST(an_expired_row_ends_nothing_well),
        TEST(a_broken_lease_keeps_nothing),
        TEST(a_late_release_does_not_free_the_next_one_s_lease),
        TEST(what_keeps_nothing_gives_its_lease_back_at_once),
        TEST(the_answer_to_the_taking_may_be_lost),
        TEST(a_taking_that_never_arrived_is_taken_again),
        TEST(the_answer_to_the_end_may_be_lost),
        TEST(an_end_that_never_arrived_is_sent_again),
        TEST(whatever_step_the_connection_is_lost_in_it_counts_once),
        TEST(a_request_whose_connection_is_lost_is_sent_again),
        TEST(a_dead_host_s_lease_expires),
        TEST(a_frozen_host_loses_its_lease_and_saves_nothing),
        TEST(leases_and_transactions_of_several_hosts_lose_nothing),
        TEST(tokens_grow_over_a_crash_of_the_database),
    };
    return cmocka_run_group_tests_name("lease_end", tests, stage_open, stage_close);
}
