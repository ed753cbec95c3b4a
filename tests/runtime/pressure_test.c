/* A server of its own: restarted under load, with few connections, with a small lock table. */
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "own_server.h"
#include "peer.h"

static void fresh_tables(struct own_server *server)
{
    PGconn *conn = fixture_connect(server->conninfo);
    fixture_exec(conn, "DROP SCHEMA IF EXISTS latchkey CASCADE; DROP TABLE IF EXISTS counter");
    stage_fill(conn);
    PQfinish(conn);
}

static int64_t ask(struct own_server *server, const char *sql)
{
    PGconn *conn = fixture_connect(server->conninfo);
    int64_t answer = fixture_int(conn, sql);
    PQfinish(conn);
    return answer;
}

/* ---- a restart ---- */

struct restart {
    int ready, stop;
    long n_started;
    long counts[STATUS_COUNT];
    char reason[256];
};

static void carry_load(struct peer *peer, void *shared)
{
    static const char *const inputs[] = {"{\"id\":1}", "{\"id\":2}", "{\"id\":3,\"n\":1}",
                                         "{\"id\":1,\"path\":[[\"message\",1],[\"message\",2]]}"};
    struct restart *restart = shared;
    struct recipe recipe = {.acquire = "60s",
                            .script = "local seen = data.row.value if input.n then sleep(0.02) end"
                                      " data.row.value = seen + 1"};
    struct load load = {.peer = peer,
                        .workflow = peer_publish(peer, &recipe),
                        .inputs = inputs,
                        .n_inputs = 4,
                        .concurrency = 32};
    load_start(&load);
    peer_turn_for(peer, 200);
    __atomic_store_n(&restart->ready, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&restart->stop, __ATOMIC_SEQ_CST))
        peer_turn_for(peer, 10);
    load_stop(&load, 40 * 1000);
    restart->n_started = load.n_started;
    memcpy(restart->counts, load.counts, sizeof restart->counts);
    memcpy(restart->reason, load.reason, sizeof restart->reason);
}

static void the_counter_is_exact_over_restarts_of_the_database(void **state)
{
    struct own_server *server = *state;
    struct restart *restart = share_new(sizeof *restart);
    own_server_start(server);
    fresh_tables(server);
    pid_t pid = peer_fork(server->conninfo, NULL, carry_load, restart);
    while (!__atomic_load_n(&restart->ready, __ATOMIC_SEQ_CST))
        nap_ms(10);
    for (int i = 0; i < long_or(20, 2); i++) {
        own_server_stop(server);
        nap_ms(i * 300);
        own_server_start(server);
        nap_ms(700);
    }
    __atomic_store_n(&restart->stop, 1, __ATOMIC_SEQ_CST);
    peer_join(pid);
    long n_completed = restart->counts[STATUS_COMPLETED];
    long n_unknown = restart->counts[STATUS_UNKNOWN];
    if (n_completed + n_unknown != restart->n_started)
        print_error("%ld of %ld: %s\n", n_completed, restart->n_started, restart->reason);
    assert_int_equal(n_completed + n_unknown, restart->n_started);
    assert_in_range(ask(server, "SELECT sum(value)::bigint FROM counter"), n_completed,
                    n_completed + n_unknown);
    assert_in_range(n_completed, 20, 10000000);
    share_free(restart, sizeof *restart);
}

/* ---- a small server ---- */

static void make_small(struct own_server *server)
{
    own_server_start(server);
    PGconn *conn = fixture_connect(server->conninfo);
    fixture_exec(conn, "ALTER SYSTEM SET max_connections = 10");
    fixture_exec(conn, "ALTER SYSTEM SET max_locks_per_transaction = 10");
    fixture_exec(conn, "ALTER SYSTEM SET max_wal_senders = 0");
    fixture_exec(conn, "ALTER SYSTEM SET max_prepared_transactions = 0");
    PQfinish(conn);
    own_server_stop(server);
    own_server_start(server);
    fresh_tables(server);
}

static void a_full_lock_table_is_waited_for(void **state)
{
    enum { MANY = 5000 };
    struct own_server *server = *state;
    struct peer peer;
    struct ending *endings = calloc(MANY, sizeof *endings);
    struct runtime_options options = runtime_default_options();
    struct recipe recipe = {.acquire = "60s"};
    make_small(server);
    options.pool_size = 8;
    peer_open(&peer, server->conninfo, &options);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    for (int i = 0; i < MANY; i++)
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":%d,\"path\":[\"a\",%d,\"b\",%d]}",
                    1 + i % 1000, i, i);
    peer_finish(&peer, 60 * 1000);
    for (int i = 0; i < MANY; i++) {
        if (endings[i].status != STATUS_COMPLETED)
            print_error("%s\n", endings[i].reason);
        assert_int_equal(endings[i].status, STATUS_COMPLETED);
    }
    assert_int_equal(ask(server, "SELECT sum(value)::bigint FROM counter"), MANY);
    peer_close(&peer);
    free(endings);
}

/* It came up with one connection, and gets no other before the work is done. */
static void a_host_on_a_full_server_works_with_what_it_has(void **state)
{
    enum { OTHERS_MAX = 20, MANY = 200 };
    struct own_server *server = *state;
    struct peer peer;
    struct ending *endings = calloc(MANY, sizeof *endings);
    struct recipe recipe = {.acquire = "30s"};
    PGconn *others[OTHERS_MAX];
    int n_others = 0;
    make_small(server);
    peer_open(&peer, server->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    /* others take all that is left; the host may have one connection or two by now */
    while (n_others < OTHERS_MAX && (others[n_others] = PQconnectdb(server->conninfo)) &&
           PQstatus(others[n_others]) == CONNECTION_OK)
        n_others++;
    assert_in_range(n_others, 1, OTHERS_MAX - 1);
    PQfinish(others[n_others]); /* the one that was refused */
    for (int i = 0; i < MANY; i++)
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":%d}", 1 + i);
    peer_finish(&peer, 20 * 1000);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(endings[i].status, STATUS_COMPLETED);
    for (int i = 0; i < n_others; i++)
        PQfinish(others[i]);
    assert_int_equal(ask(server, "SELECT sum(value)::bigint FROM counter"), MANY);
    peer_close(&peer);
    free(endings);
}

int pressure_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_counter_is_exact_over_restarts_of_the_database),
        cmocka_unit_test(a_full_lock_table_is_waited_for),
        cmocka_unit_test(a_host_on_a_full_server_works_with_what_it_has),
    };
    return cmocka_run_group_tests_name("pressure", tests, own_server_set_up, own_server_tear_down);
}
