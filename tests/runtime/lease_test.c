/* Locks that are held by a lease: what its holder has, may do, and leaves behind. */
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"

static const char ADD_ONE[] = "data.row.value = data.row.value + 1";

static void until_leased(struct peer *peer, PGconn *conn, const char *path)
{
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT EXISTS (SELECT FROM latchkey.lease WHERE path = '%s')", path);
    peer_turn_until_true(peer, conn, sql, 10 * 1000);
}

static int64_t n_leases(const struct stage *stage)
{
    return fixture_int(stage->conn, "SELECT count(*) FROM latchkey.lease");
}

static void a_lease_is_held_with_no_transaction_open(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    struct recipe recipe = {.hold = "lease",
                            .script = "data.row.value = data.row.value + 1 sleep(0.5)"
                                      " output.lock = {lock.token, lock.paths[1]}"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    until_leased(&peer, stage->conn, "message/1");
    peer_turn_until_true(&peer, stage->conn,
                         "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname ="
                         " current_database() AND application_name LIKE 'latchkey%'"
                         " AND xact_start IS NOT NULL",
                         400);
    assert_int_equal(stage_n_granted(stage->conn), 0);
    assert_int_equal(ending.n_told, 0);
    /* the instance is there and leased, before its first activity */
    assert_int_equal(n_leases(stage), 2);
    assert_int_equal(fixture_int(stage->conn,
                                 "SELECT count(*) FROM latchkey.instance i JOIN latchkey.lease l"
                                 " ON l.path = '$instance/' || i.id AND l.instance = i.id AND"
                                 " l.process = i.process WHERE i.status = 'running' AND i.activity"
                                 " = 'act' AND i.steps = 0 AND l.workflow = 'count'"),
                     1);
    assert_int_equal(fixture_int(stage->conn, "SELECT count(DISTINCT token) FROM latchkey.lease"),
                     1);
    peer_finish(&peer, 10 * 1000);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(ending.attempts, 1);
    assert_true(ending.token > 0);
    char output[128];
    snprintf(output, sizeof output, "{\"lock\": [%lld, \"message/1\"]}", (long long)ending.token);
    assert_string_equal(ending.output, output);
    assert_int_equal(n_leases(stage), 0);
    assert_int_equal(stage_total(stage), 1);
    assert_int_equal(fixture_int(stage->conn, "SELECT token FROM latchkey.execution"),
                     ending.token);
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM latchkey.instance"
                                              " WHERE status = 'completed' AND steps = 1"),
                     1);
    peer_close(&peer);
}

static void later_holders_have_larger_tokens(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe recipe = {.hold = "lease"};
    int64_t before = 0;
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    for (int i = 0; i < 5; i++) {
        struct ending ending = peer_run(&peer, workflow, "{\"id\":1}");
        assert_int_equal(ending.status, STATUS_COMPLETED);
        assert_true(ending.token > before);
        before = ending.token;
    }
    assert_int_equal(stage_total(stage), 5);
    peer_close(&peer);
}

static void a_script_that_asks_for_the_token_gets_a_lease(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe asks = {.name = "asks",
                          .script = "data.row.value = data.row.value + 1 assert(not lock.other)"
                                    " local caught pcall(function() caught = lock.token end)"
                                    " output.tokens = {caught, lock.token} sleep(0.3)"};
    struct recipe plain = {.name = "plain"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &asks);
    struct ending first;
    peer_submit(&peer, workflow, &first, NULL, "{\"id\":1}");
    until_leased(&peer, stage->conn, "message/1");
    assert_int_equal(n_leases(stage), 2); /* the instance too */
    peer_finish(&peer, 10 * 1000);
    char output[128];
    snprintf(output, sizeof output, "{\"tokens\": [%lld, %lld]}", (long long)first.token,
             (long long)first.token);
    assert_int_equal(first.status, STATUS_COMPLETED);
    assert_int_equal(first.attempts, 2);
    assert_true(first.token > 0);
    assert_string_equal(first.output, output);
    struct ending second = peer_run(&peer, workflow, "{\"id\":1}");
    assert_int_equal(second.attempts, 1); /* remembered */
    assert_true(second.token > first.token);
    assert_int_equal(stage_total(stage), 2);
    assert_int_equal(peer_run(&peer, peer_publish(&peer, &plain), "{\"id\":1}").token, 0);
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM latchkey.execution"
                                              " WHERE token IS NULL"),
                     1);
    assert_int_equal(n_leases(stage), 0);
    peer_close(&peer);
}

/* Executions that ask for the token together, on conflicting and other paths. */
static void many_that_ask_for_the_token_all_get_one(void **state)
{
    enum { N = 24 };
    struct stage *stage = *state;
    struct peer peer;
    struct ending endings[N];
    struct recipe recipe = {.script = "data.row.value = data.row.value + 1"
                                      " output.token = lock.token",
                            .acquire = "60s"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    for (int i = 0; i < N; i++)
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":%d}", 1 + i % 4);
    peer_finish(&peer, 60 * 1000);
    for (int i = 0; i < N; i++) {
        assert_int_equal(endings[i].status, STATUS_COMPLETED);
        assert_true(endings[i].token > 0);
        for (int before = i - 4; before >= 0; before -= 4)
            assert_true(endings[before].token < endings[i].token);
    }
    assert_int_equal(stage_total(stage), N);
    assert_int_equal(n_leases(stage), 0);
    peer_close(&peer);
}

static void what_it_asks_of_the_database_is_read_only(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe reads = {.name = "reads",
                           .hold = "lease",
                           .script =
                               "data.row.value = 5"
                               " local rows = sql(\"select sum(value)::int as n from counter\")"
                               " local other = objects.load(\"counter\", {id = 2})"
                               " local same = objects.load(\"counter\", {id = input.id})"
                               " local list = objects.list(\"counter\", {where = {id = 3}})"
                               " other.value = 7 list[1].value = list[1].value + 9"
                               " output.seen = {rows[1].n, same.value}"};
    struct recipe writes = {
        .name = "writes",
        .hold = "lease",
        .script = "pcall(sql, \"update counter set value = 100 where id = $1\", input.id)"};
    struct recipe adds = {.name = "adds",
                          .hold = "lease",
                          .script = "objects.new(\"counter\", {id = 5000, value = 1})"};
    struct recipe deletes = {
        .name = "deletes", .hold = "lease", .script = "objects.delete(data.row)"};
    peer_open(&peer, stage->conninfo, NULL);
    struct ending ending = peer_run(&peer, peer_publish(&peer, &reads), "{\"id\":1}");
    assert_string_equal(ending.reason, "");
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_string_equal(ending.output, "{\"seen\": [0, 5]}");
    assert_int_equal(stage_total(stage), 5 + 7 + 9);

    ending = peer_run(&peer, peer_publish(&peer, &writes), "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_FAILED);
    assert_non_null(strstr(ending.reason, "an activity with a lease writes by its `data`"));
    ending = peer_run(&peer, peer_publish(&peer, &adds), "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_FAILED);
    assert_non_null(strstr(ending.reason, "adds and deletes no rows"));
    ending = peer_run(&peer, peer_publish(&peer, &deletes), "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_FAILED);
    assert_int_equal(stage_total(stage), 5 + 7 + 9);
    assert_int_equal(n_leases(stage), 0);
    peer_close(&peer);
}

/* Rows are checked at the end against what was first read, however often they are read. */
static void a_row_changed_meanwhile_is_a_conflict(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    struct recipe recipe = {.hold = "lease",
                            .on_conflict = "fail",
                            .script = "data.row.value = data.row.value + 1 sleep(0.5)"
                                      " objects.load(\"counter\", {id = input.id})"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    until_leased(&peer, stage->conn, "message/1");
    fixture_exec(stage->conn, "UPDATE counter SET value = 40 WHERE id = 1");
    peer_finish(&peer, 10 * 1000);
    assert_int_equal(ending.status, STATUS_CONFLICT);
    assert_int_equal(stage_total(stage), 40);
    assert_int_equal(n_leases(stage), 0);
    peer_close(&peer);
}

/* A foreign lock on its row at the end: the script is not run twice for that. */
static void only_the_end_is_repeated_when_a_row_is_locked_for_long(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    struct recipe recipe = {.hold = "lease", .waiting = "20s", .script = ADD_ONE};
    fixture_exec(stage->conn,
                 "CREATE SEQUENCE tries;"
                 "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN IF nextval(''tries'') < 4 THEN RAISE deadlock_detected; END IF;"
                 " RETURN NEW; END';"
                 "CREATE TRIGGER refuse BEFORE UPDATE ON counter FOR EACH ROW"
                 " EXECUTE FUNCTION refuse()");
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_finish(&peer, 20 * 1000);
    assert_string_equal(ending.reason, "");
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(ending.attempts, 1);
    assert_int_equal(stage_total(stage), 1);
    assert_int_equal(fixture_int(stage->conn, "SELECT last_value FROM tries"), 4);
    peer_close(&peer);
}

/* More leases than the pool has connections. */
static void a_held_lease_takes_no_connection_and_no_place(void **state)
{
    enum { N = 20 };
    struct stage *stage = *state;
    struct peer peer;
    struct ending endings[N], quick;
    struct runtime_options options = runtime_default_options();
    struct recipe recipe = {.name = "slow",
                            .hold = "lease",
                            .waiting = "60s",
                            .script = "data.row.value = data.row.value + 1"
                                      " while sql(\"select value from counter where id ="
                                      " 1000\")[1].value == 0 do sleep(0.05) end"};
    struct recipe plain = {.name = "plain", .script = "sql(\"select 1 as n\") data.row.value = 1"};
    options.pool_size = 3;
    options.waiters = 1;
    peer_open(&peer, stage->conninfo, &options);
    struct workflow *slow = peer_publish(&peer, &recipe), *other = peer_publish(&peer, &plain);
    for (int i = 0; i < N; i++)
        peer_submit(&peer, slow, &endings[i], NULL, "{\"id\":%d}", i + 1);
    peer_turn_until_true(&peer, stage->conn, "SELECT count(*) = 40 FROM latchkey.lease", 30 * 1000);
    peer_submit(&peer, other, &quick, NULL, "{\"id\":1000}"); /* lets them all go on */
    peer_finish(&peer, 60 * 1000);
    assert_int_equal(quick.status, STATUS_COMPLETED);
    for (int i = 0; i < N; i++)
        assert_int_equal(endings[i].status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), N + 1);
    assert_int_equal(n_leases(stage), 0);
    peer_close(&peer);
}

/* Two rows a lease: its path and its instance. What takes none is not held up by who waits. */
static void a_host_holds_so_many_leases_and_the_others_wait_their_turn(void **state)
{
    enum { N = 9, MOST = 3, CONNECTIONS = 2 };
    struct stage *stage = *state;
    struct peer peer;
    struct ending endings[N], quick;
    int n_most = 0;
    struct runtime_options options = runtime_default_options();
    struct recipe recipe = {.name = "slow",
                            .hold = "lease",
                            .waiting = "60s",
                            .acquire = "60s",
                            .script = "sleep(0.1) data.row.value = 1"};
    struct recipe plain = {.name = "plain", .script = "sql(\"select 1 as n\") data.row.value = 1"};
    options.leases_max = MOST;
    options.pool_size = CONNECTIONS; /* one is reserved: one lease is on its way at a time */
    options.waiters = 0;
    peer_open(&peer, stage->conninfo, &options);
    struct workflow *slow = peer_publish(&peer, &recipe), *other = peer_publish(&peer, &plain);
    for (int i = 0; i < N; i++)
        peer_submit(&peer, slow, &endings[i], NULL, "{\"id\":%d}", i + 1);
    peer_turn_until_true(&peer, stage->conn, "SELECT count(*) >= 4 FROM latchkey.lease", 30 * 1000);
    peer_submit(&peer, other, &quick, NULL, "{\"id\":1000}");
    while (runtime_n_running(peer.runtime) > 0) {
        int n = (int)n_leases(stage) / 2;
        n_most = n > n_most ? n : n_most;
        peer_turn_for(&peer, 5);
    }
    assert_int_equal(n_most, MOST);
    assert_int_equal(quick.status, STATUS_COMPLETED);
    for (int i = 0; i < N; i++)
        assert_int_equal(endings[i].status, STATUS_COMPLETED);
    assert_true(quick.told_us < endings[N - 1].told_us);
    assert_int_equal(stage_total(stage), N + 1);
    peer_close(&peer);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int lease_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_lease_is_held_with_no_transaction_open),
        TEST(later_holders_have_larger_tokens),
        TEST(a_script_that_asks_for_the_token_gets_a_lease),
        TEST(many_that_ask_for_the_token_all_get_one),
        TEST(what_it_asks_of_the_database_is_read_only),
        TEST(a_row_changed_meanwhile_is_a_conflict),
        TEST(only_the_end_is_repeated_when_a_row_is_locked_for_long),
        TEST(a_held_lease_takes_no_connection_and_no_place),
        TEST(a_host_holds_so_many_leases_and_the_others_wait_their_turn),
    };
    return cmocka_run_group_tests_name("lease", tests, stage_open, stage_close);
}
