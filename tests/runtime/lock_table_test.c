/* The server's lock table is finite: a second PostgreSQL with the sizes that most people have. */
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

#include "lock_break.h"

enum {
    HOSTS = 6,
    SOON_MS = 60 * 1000,
    LONG_MS = 600 * 1000,
    TABLE_ENTRIES = 64 * 100, /* by the settings; there is some slack above */
};

static int set_up(void **state)
{
    if (own_server_set_up(state) != 0)
        return -1;
    struct own_server *server = *state;
    own_server_start(server);
    PGconn *conn = fixture_connect(server->conninfo);
    fixture_exec(conn, "ALTER SYSTEM SET max_connections = 100");
    fixture_exec(conn, "ALTER SYSTEM SET max_locks_per_transaction = 64");
    fixture_exec(conn, "ALTER SYSTEM SET max_prepared_transactions = 0");
    PQfinish(conn);
    own_server_stop(server);
    own_server_start(server);
    return 0;
}

/* A plain session over fresh tables, with so many rows to count on. */
static PGconn *fresh(struct own_server *server, int n_rows)
{
    PGconn *conn = fixture_connect(server->conninfo);
    fixture_exec(conn, "DROP SCHEMA IF EXISTS latchkey CASCADE; DROP TABLE IF EXISTS counter");
    stage_fill(conn);
    fixture_execf(conn, "INSERT INTO counter SELECT n, 0 FROM generate_series(1001, %d) AS n",
                  n_rows);
    return conn;
}

/* ---- many paths ---- */

struct crowd {
    int n_ready, go, n_done;
    int n_each;
    long counts[HOSTS][STATUS_COUNT];
    char reason[HOSTS][256];
};

static void run_many(struct peer *peer, void *shared)
{
    struct crowd *crowd = shared;
    struct ending *endings = calloc((size_t)crowd->n_each, sizeof *endings);
    struct workflow *workflow =
        peer_publish(peer, &(struct recipe){.acquire = "600s", .waiting = "60s"});
    int host = __atomic_fetch_add(&crowd->n_ready, 1, __ATOMIC_SEQ_CST);
    peer_must(peer, endings != NULL, "no memory");
    while (!__atomic_load_n(&crowd->go, __ATOMIC_SEQ_CST))
        peer_turn_for(peer, 10);
    for (int i = 0; i < crowd->n_each; i++) {
        int id = 1 + host * crowd->n_each + i;
        peer_submit(peer, workflow, &endings[i], NULL,
                    "{\"id\":%d,\"path\":[\"p\",%d,\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"]}", id, id);
    }
    peer_finish(peer, LONG_MS);
    for (int i = 0; i < crowd->n_each; i++) {
        crowd->counts[host][endings[i].status]++;
        if (endings[i].status != STATUS_COMPLETED)
            snprintf(crowd->reason[host], sizeof crowd->reason[host], "%s", endings[i].reason);
    }
    __atomic_fetch_add(&crowd->n_done, 1, __ATOMIC_SEQ_CST);
}

/* Somebody else connects and locks a table. False with the server's words if it may not. */
static bool may_work(const char *conninfo)
{
    PGconn *conn = PQconnectdb(conninfo);
    PGresult *result = PQexec(conn, "BEGIN; LOCK TABLE counter IN SHARE UPDATE EXCLUSIVE MODE;"
                                    "SELECT pg_advisory_xact_lock(1); COMMIT");
    bool ok = PQresultStatus(result) == PGRES_COMMAND_OK;
    if (!ok)
        print_error("%s", PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
    return ok;
}

/* Transactions that would commit in the next seconds wait until these are over, so that all that
 * may be open at once are. */
static void stay_open_for_a_while(PGconn *conn)
{
    fixture_exec(conn, "CREATE OR REPLACE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS"
                       " 'BEGIN PERFORM pg_sleep(extract(epoch FROM TG_ARGV[0]::timestamptz -"
                       " clock_timestamp())); RETURN NULL; END'");
    fixture_exec(conn, "DO $$ BEGIN EXECUTE format('CREATE TRIGGER stay BEFORE INSERT ON"
                       " latchkey.commit_mark FOR EACH STATEMENT EXECUTE FUNCTION stay(%L)',"
                       " clock_timestamp() + interval '5 s'); END $$");
}

/* Paths as deep as they may be, all different, in several hosts: what they want at once is many
 * times what the table has. */
static void many_paths_at_once_leave_room_for_others(void **state)
{
    struct own_server *server = *state;
    struct crowd *crowd = share_new(sizeof *crowd);
    pid_t pids[HOSTS];
    long n_probes = 0, n_refused = 0, n_used, n_used_most = 0;
    crowd->n_each = long_or(100 * 1000, 20 * 1000) / HOSTS + 1;
    PGconn *conn = fresh(server, HOSTS * crowd->n_each);
    for (int i = 0; i < HOSTS; i++)
        pids[i] = peer_fork(server->conninfo, NULL, run_many, crowd);
    while (__atomic_load_n(&crowd->n_ready, __ATOMIC_SEQ_CST) < HOSTS)
        nap_ms(10);
    fixture_eventually_true(conn, "SELECT count(*) = 6 FROM latchkey.host", SOON_MS);
    nap_ms(4000); /* each has seen the others */
    stay_open_for_a_while(conn);
    __atomic_store_n(&crowd->go, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&crowd->n_done, __ATOMIC_SEQ_CST) < HOSTS) {
        n_probes++;
        n_refused += may_work(server->conninfo) ? 0 : 1;
        n_used = fixture_int(conn, "SELECT count(*) FROM (SELECT DISTINCT classid, objid FROM"
                                   " pg_locks WHERE locktype = 'advisory') AS l");
        n_used_most = n_used > n_used_most ? n_used : n_used_most;
        nap_ms(5);
    }
    for (int i = 0; i < HOSTS; i++)
        peer_join(pids[i]);
    for (int i = 0; i < HOSTS; i++) {
        if (crowd->counts[i][STATUS_COMPLETED] != crowd->n_each)
            print_error("%s\n", crowd->reason[i]);
        assert_int_equal(crowd->counts[i][STATUS_COMPLETED], crowd->n_each);
    }
    assert_int_equal(fixture_int(conn, "SELECT count(*) FROM counter WHERE value = 1"),
                     HOSTS * crowd->n_each);
    assert_in_range(n_probes, 10, 1000000000);
    assert_int_equal(n_refused, 0);
    assert_in_range(n_used_most, HOSTS * 50, TABLE_ENTRIES * 60 / 100);
    share_free(crowd, sizeof *crowd);
    PQfinish(conn);
}

/* ---- a table that others fill ---- */

struct watched {
    struct peer peer;
    char *log;
    size_t log_bytes;
};

static void watch(struct watched *watched, const char *conninfo)
{
    *watched = (struct watched){0};
    peer_open(&watched->peer, conninfo, NULL);
    watched->peer.log = (struct log){.stream = open_memstream(&watched->log, &watched->log_bytes)};
    assert_non_null(watched->peer.log.stream);
}

static void watch_end(struct watched *watched)
{
    peer_close(&watched->peer);
    fclose(watched->peer.log.stream);
    free(watched->log);
}

static int n_lines(struct watched *watched, const char *part)
{
    int n = 0;
    fflush(watched->peer.log.stream);
    for (const char *at = watched->log; at && (at = strstr(at, part)); at++)
        n++;
    return n;
}

static bool is_said_once(void *arg)
{
    return n_lines(arg, "lock table is") >= 1;
}

static bool is_said_twice(void *arg)
{
    return n_lines(arg, "lock table is") >= 2;
}

static void take_keys(PGconn *conn, int from, int n)
{
    fixture_execf(conn, "SELECT count(pg_advisory_xact_lock(n)) FROM generate_series(%d, %d) AS n",
                  from, from + n - 1);
}

/* Takes what the table has, but for less than `step` entries. */
static void fill_table(PGconn *conn, int step)
{
    char sql[256];
    ExecStatusType status = PGRES_TUPLES_OK;
    fixture_exec(conn, "BEGIN");
    take_keys(conn, 1000000, TABLE_ENTRIES - 100);
    for (int from = 2000000; status == PGRES_TUPLES_OK; from += step) {
        fixture_exec(conn, "SAVEPOINT before");
        snprintf(sql, sizeof sql,
                 "SELECT count(pg_advisory_xact_lock(n)) FROM generate_series(%d, %d) AS n", from,
                 from + step - 1);
        PGresult *result = PQexec(conn, sql);
        status = PQresultStatus(result);
        PQclear(result);
    }
    fixture_exec(conn, "ROLLBACK TO SAVEPOINT before");
}

static void a_full_table_makes_batches_smaller_and_not_single(void **state)
{
    enum { N = 120 };
    struct own_server *server = *state;
    struct ending endings[N];
    struct watched watched;
    bool again = false;
    PGconn *conn = fresh(server, 1000);
    watch(&watched, server->conninfo);
    struct workflow *workflow =
        peer_publish(&watched.peer, &(struct recipe){.acquire = "60s", .waiting = "60s"});
    peer_run(&watched.peer, workflow, "{\"id\":1000}"); /* its connection has what it needs */
    fixture_exec(conn, "DELETE FROM latchkey.commit_mark");
    fill_table(conn, 60);
    for (int i = 0; i < N; i++)
        peer_submit(&watched.peer, workflow, &endings[i], NULL, "{\"id\":%d}", i + 1);
    peer_turn_until(&watched.peer, is_said_once, &watched, SOON_MS);
    fixture_exec(conn, "COMMIT");
    peer_finish(&watched.peer, SOON_MS);
    for (int i = 0; i < N; i++) {
        assert_int_equal(endings[i].status, STATUS_COMPLETED);
        again = again || endings[i].attempts > 1;
    }
    assert_true(again);
    assert_int_equal(fixture_int(conn, "SELECT count(*) FROM counter WHERE value = 1"), N + 1);
    /* one mark a transaction */
    assert_in_range(fixture_int(conn, "SELECT count(*) FROM latchkey.commit_mark"), 1, N / 4);
    watch_end(&watched);
    PQfinish(conn);
}

static void a_table_that_fills_is_warned_of_once(void **state)
{
    struct own_server *server = *state;
    struct watched watched;
    PGconn *conn = fresh(server, 1000);
    watch(&watched, server->conninfo);
    peer_turn_for(&watched.peer, 1500); /* at first a host looks more often */
    assert_int_equal(n_lines(&watched, "lock table is"), 0);
    for (int round = 1; round <= 2; round++) {
        fixture_exec(conn, "BEGIN");
        take_keys(conn, 1000000, TABLE_ENTRIES * 65 / 100);
        peer_turn_until(&watched.peer, round == 1 ? is_said_once : is_said_twice, &watched,
                        SOON_MS);
        if (round == 1)
            peer_turn_for(&watched.peer, 4500); /* another look or two */
        assert_int_equal(n_lines(&watched, "lock table is 6"), round);
        fixture_exec(conn, "COMMIT");
        if (round == 1)
            peer_turn_for(&watched.peer, 4500); /* one that finds it calm */
    }
    watch_end(&watched);
    PQfinish(conn);
}

/* ---- a standby that is missing ---- */

struct spared {
    bool told;
    enum fault_kind kind;
};

static void on_broken(const char *met, const struct fault *fault, void *arg)
{
    struct spared *spared = arg;
    (void)met;
    spared->told = true;
    spared->kind = fault ? fault->kind : FAULT_NONE;
}

static bool is_told(void *arg)
{
    return ((struct spared *)arg)->told;
}

/* It has committed here, and only the standby's word is missing: ended now, it would stay so. */
static void who_waits_for_a_standby_is_not_broken(void **state)
{
    struct own_server *server = *state;
    struct peer peer;
    struct ending ending;
    struct spared spared = {0};
    struct lock_break *request;
    struct fault fault;
    PGconn *conn = fresh(server, 1000);
    peer_open(&peer, server->conninfo, NULL);
    struct workflow *workflow =
        peer_publish(&peer, &(struct recipe){.acquire = "60s", .waiting = "60s"});
    fixture_exec(conn, "ALTER SYSTEM SET synchronous_standby_names = 'missing'");
    fixture_exec(conn, "SELECT pg_reload_conf()");
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_until_true(&peer, conn,
                         "SELECT EXISTS (SELECT FROM pg_stat_activity a JOIN pg_locks l USING (pid)"
                         " WHERE a.wait_event = 'SyncRep' AND l.locktype = 'advisory' AND l.mode ="
                         " 'ExclusiveLock' AND (l.classid::bigint << 32) | l.objid::bigint ="
                         " latchkey.lock_key('message/1'))",
                         SOON_MS);
    assert_true(
        lock_break_start(peer.runtime, "message/1", "ann", on_broken, &spared, &request, &fault));
    peer_turn_until(&peer, is_told, &spared, SOON_MS);
    assert_int_equal(spared.kind, FAULT_CONFLICT);
    fixture_exec(conn, "SET synchronous_commit = local");
    assert_int_equal(fixture_int(conn, "SELECT count(*) FROM latchkey.lock_break"), 0);
    fixture_exec(conn, "ALTER SYSTEM RESET synchronous_standby_names");
    fixture_exec(conn, "SELECT pg_reload_conf()");
    peer_finish(&peer, SOON_MS);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(fixture_int(conn, "SELECT sum(value)::bigint FROM counter"), 1);
    peer_close(&peer);
    PQfinish(conn);
}

int lock_table_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_paths_at_once_leave_room_for_others),
        cmocka_unit_test(a_full_table_makes_batches_smaller_and_not_single),
        cmocka_unit_test(a_table_that_fills_is_warned_of_once),
        cmocka_unit_test(who_waits_for_a_standby_is_not_broken),
    };
    return cmocka_run_group_tests_name("lock_table", tests, set_up, own_server_tear_down);
}
