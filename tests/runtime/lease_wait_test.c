/* Who wants a path on which a lease stands: refused, holding nothing, until it is gone. */
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"

#include "clock.h"

/* A lease of somebody who is not there, for so long. */
static void put_lease(PGconn *conn, const char *path, const char *period)
{
    fixture_execf(conn,
                  "INSERT INTO latchkey.lease (path, token, holder, process, instance, workflow,"
                  " activity, expires_at) SELECT '%s', nextval('latchkey.lease_token'), u, u, u,"
                  " 'x', 'x', clock_timestamp() + interval '%s' FROM gen_random_uuid() AS u",
                  path, period);
}

static void drop_leases(PGconn *conn)
{
    fixture_exec(conn, "DELETE FROM latchkey.lease");
}

/* Hosts that look by themselves so seldom that only a notification can be in time. */
static struct runtime_options seldom(void)
{
    struct runtime_options options = runtime_default_options();
    options.lease_poll_us = 300LL * 1000 * 1000;
    return options;
}

static bool is_told(void *ending)
{
    return ((struct ending *)ending)->n_told > 0;
}

static struct ending try_path(struct peer *peer, struct workflow *workflow, const char *path)
{
    char input[128];
    snprintf(input, sizeof input, "{\"id\":1,\"path\":%s}", path);
    return peer_run(peer, workflow, input);
}

static void its_path_ancestors_and_descendants_are_refused_and_no_others(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe recipe = {.acquire = "500ms"};
    struct recipe whole = {.name = "whole", .lock_context = "", .acquire = "500ms"};
    static const char *const refused[] = {"[\"a\"]", "[\"a\",\"b\"]", "[\"a\",\"b\",\"c\"]",
                                          "[\"a\",\"b\",\"c\",\"d\"]",
                                          "[[\"z\"],[\"a\",\"b\",\"c\"]]"};
    static const char *const granted[] = {
        "[\"a\",\"bb\"]", "[\"a\",\"b-c\"]", "[\"a\",\"b0\"]", "[\"a\",\"b.x\",\"c\"]",
        "[\"b\"]",        "[\"A\",\"b\"]",   "[\"aa\"]"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe),
                    *takes_all = peer_publish(&peer, &whole);
    put_lease(stage->conn, "a/b", "1 hour");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_int_equal(try_path(&peer, workflow, refused[i]).status, STATUS_LOCKED);
    for (size_t i = 0; i < sizeof granted / sizeof *granted; i++)
        assert_int_equal(try_path(&peer, workflow, granted[i]).status, STATUS_COMPLETED);
    assert_int_equal(peer_run(&peer, takes_all, "{\"id\":1}").status, STATUS_LOCKED);
    drop_leases(stage->conn);

    put_lease(stage->conn, "*", "1 hour");
    assert_int_equal(try_path(&peer, workflow, "[\"x\"]").status, STATUS_LOCKED);
    assert_int_equal(peer_run(&peer, takes_all, "{\"id\":1}").status, STATUS_LOCKED);
    drop_leases(stage->conn);

    put_lease(stage->conn, "$instance/00000000-0000-7000-8000-0123456789ab", "1 hour");
    put_lease(stage->conn, "$definitions", "1 hour");
    assert_int_equal(peer_run(&peer, takes_all, "{\"id\":1}").status, STATUS_COMPLETED);
    assert_int_equal(try_path(&peer, workflow, "[\"x\"]").status, STATUS_COMPLETED);
    peer_close(&peer);
}

/* The neighbours in its batch are not held up, and what it was granted before is free. */
static void one_that_is_refused_keeps_none_of_its_locks(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending both, neighbour;
    struct recipe recipe = {.acquire = "1s"};
    PGconn *other = fixture_connect(stage->conninfo);
    fixture_exec(stage->conn,
                 "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END';"
                 "CREATE TRIGGER slowly BEFORE UPDATE ON counter FOR EACH ROW"
                 " WHEN (NEW.id = 7 AND NEW.value > OLD.value) EXECUTE FUNCTION slowly()");
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    assert_int_equal(peer_run(&peer, workflow, "{\"id\":1}").status, STATUS_COMPLETED);
    put_lease(stage->conn, "b", "1 hour");
    peer_submit(&peer, workflow, &both, NULL, "{\"id\":1,\"path\":[[\"a\"],[\"b\"]]}");
    peer_submit(&peer, workflow, &neighbour, NULL, "{\"id\":7}");
    fixture_exec(other, "SET lock_timeout = '100ms'");
    peer_turn_until_true(&peer, other,
                         "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                         " AND datname = current_database()",
                         5000);
    fixture_exec(other, "BEGIN; SELECT latchkey.lock('a')"); /* fails if it must wait */
    fixture_exec(other, "ROLLBACK");
    peer_turn_until(&peer, is_told, &neighbour, 5000);
    assert_int_equal(neighbour.status, STATUS_COMPLETED);
    peer_finish(&peer, 5000);
    assert_int_equal(both.status, STATUS_LOCKED);
    peer_close(&peer);
    PQfinish(other);
}

/* It does not stand in PostgreSQL's queue, nor in a transaction. */
static void who_waits_for_a_lease_holds_no_connection(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    struct runtime_options options = seldom();
    struct recipe recipe = {.acquire = "60s"};
    peer_open(&peer, stage->conninfo, &options);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    put_lease(stage->conn, "message/1", "1 hour");
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_for(&peer, 500);
    peer_turn_until_true(&peer, stage->conn,
                         "SELECT count(*) = 0 FROM pg_stat_activity WHERE xact_start IS NOT"
                         " NULL AND datname = current_database() AND pid <> pg_backend_pid()",
                         5000);
    assert_int_equal(stage_n_granted(stage->conn), 0);
    assert_int_equal(stage_n_waiting(stage->conn), 0);
    assert_int_equal(ending.n_told, 0);
    drop_leases(stage->conn);
    fixture_exec(stage->conn, "NOTIFY latchkey_leases, 'latchkey'");
    peer_finish(&peer, 20 * 1000);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    peer_close(&peer);
}

static void the_end_of_a_lease_is_told_to_waiters_of_other_hosts(void **state)
{
    struct stage *stage = *state;
    struct peer one, two;
    struct ending holder, waiter;
    struct runtime_options options = seldom();
    struct recipe holds = {.name = "holds",
                           .hold = "lease",
                           .waiting = "60s",
                           .script = "data.row.value = data.row.value + 1 sleep(1)"};
    struct recipe waits = {
        .name = "waits", .acquire = "60s", .script = "data.row.value = data.row.value * 10"};
    peer_open(&one, stage->conninfo, &options);
    peer_open_beside(&two, &one, stage->conninfo, &options);
    struct workflow *first = peer_publish(&one, &holds), *second = peer_publish(&two, &waits);
    peer_submit(&one, first, &holder, NULL, "{\"id\":1}");
    peer_turn_until_true(&one, stage->conn, "SELECT count(*) = 2 FROM latchkey.lease", 10 * 1000);
    peer_submit(&two, second, &waiter, NULL, "{\"id\":1}");
    peer_turn_until(&one, is_told, &waiter, 30 * 1000);
    assert_int_equal(holder.status, STATUS_COMPLETED);
    assert_int_equal(waiter.status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), 10);
    peer_close(&two);
    peer_close(&one);
}

static void the_slow_poll_needs_no_notification(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    struct recipe recipe = {.acquire = "60s"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    put_lease(stage->conn, "message/1", "1 hour");
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_for(&peer, 300);
    drop_leases(stage->conn);
    peer_finish(&peer, 20 * 1000);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    peer_close(&peer);
}

/* Nobody tells that a dead holder's lease is over: the waiter knows when. */
static void an_expired_lease_is_removed_by_who_wants_its_path(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct runtime_options options = seldom();
    struct recipe recipe = {.acquire = "60s"}, once = {.name = "once", .acquire = "0s"};
    peer_open(&peer, stage->conninfo, &options);
    struct workflow *workflow = peer_publish(&peer, &recipe), *tries = peer_publish(&peer, &once);
    put_lease(stage->conn, "message/1", "700 ms");
    assert_int_equal(peer_run(&peer, tries, "{\"id\":1}").status, STATUS_LOCKED);
    struct ending ending = peer_run(&peer, workflow, "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM latchkey.lease"), 0);

    put_lease(stage->conn, "message/1", "-1 s");
    assert_int_equal(peer_run(&peer, tries, "{\"id\":1}").status, STATUS_COMPLETED);
    peer_close(&peer);
}

/* Expired or not: its holder may be committing. Whoever looked at the clock would be its neighbour.
 */
static void an_expired_lease_whose_holder_ends_is_still_in_the_way(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    PGconn *holder = fixture_connect(stage->conninfo);
    struct recipe recipe = {.acquire = "60s", .script = "data.row.value = data.row.value * 10"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    put_lease(stage->conn, "message/1", "400 ms");
    fixture_exec(holder, "BEGIN; DELETE FROM latchkey.lease WHERE expires_at > clock_timestamp()");
    peer_turn_for(&peer, 500);
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_for(&peer, 700);
    assert_int_equal(ending.n_told, 0);
    fixture_exec(holder, "UPDATE counter SET value = 7 WHERE id = 1; COMMIT");
    peer_finish(&peer, 20 * 1000);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), 70);
    peer_close(&peer);
    PQfinish(holder);
}

/* The rows of one dead holder, on two paths. Who takes the one for long does not keep a stranger
 * from the other. */
static void who_removes_an_expired_lease_is_in_no_stranger_s_way(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending slow, stranger;
    struct recipe recipe = {.acquire = "60s",
                            .waiting = "60s",
                            .script = "data.row.value = data.row.value + 1"
                                      " if input.n then sleep(2) end"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    put_lease(stage->conn, "a", "-1 s");
    put_lease(stage->conn, "b", "-1 s");
    peer_submit(&peer, workflow, &slow, NULL, "{\"id\":1,\"n\":1,\"path\":[\"a\"]}");
    peer_turn_until_held(&peer, stage->conn, "a");
    peer_turn_for(&peer, 300);
    peer_submit(&peer, workflow, &stranger, NULL, "{\"id\":2,\"path\":[\"b\"]}");
    peer_turn_until(&peer, is_told, &stranger, 20 * 1000);
    assert_int_equal(slow.n_told, 0);
    assert_int_equal(stranger.status, STATUS_COMPLETED);
    peer_finish(&peer, 20 * 1000);
    assert_int_equal(slow.status, STATUS_COMPLETED);
    peer_close(&peer);
}

/* A row that somebody holds is left to them: the others are removed meanwhile. */
static void removing_waits_for_nobody(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    PGconn *holder = fixture_connect(stage->conninfo);
    struct recipe recipe = {.acquire = "20s"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    put_lease(stage->conn, "a", "-1 s");
    put_lease(stage->conn, "b", "-1 s");
    fixture_exec(holder, "BEGIN; SELECT FROM latchkey.lease WHERE path = 'a' FOR UPDATE");
    assert_int_equal(try_path(&peer, workflow, "[\"b\"]").status, STATUS_COMPLETED);
    fixture_exec(holder, "COMMIT");
    assert_int_equal(try_path(&peer, workflow, "[\"a\"]").status, STATUS_COMPLETED);
    peer_close(&peer);
    PQfinish(holder);
}

/* The statement that waits has a snapshot older than its grant: the look comes later. */
static void a_lease_taken_while_it_waited_for_the_lock_is_seen(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    struct recipe recipe = {.acquire = "60s", .script = "data.row.value = data.row.value * 10"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    fixture_exec(stage->conn, "BEGIN; SELECT latchkey.lock('message/1')");
    PGconn *other = fixture_connect(stage->conninfo);
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_until_true(&peer, other,
                         "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype ="
                         " 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname ="
                         " current_database())",
                         10 * 1000);
    put_lease(stage->conn, "message/1", "1 hour");
    fixture_exec(stage->conn, "COMMIT");
    peer_turn_for(&peer, 700);
    assert_int_equal(ending.n_told, 0);
    assert_int_equal(stage_n_granted(stage->conn), 0);
    fixture_exec(stage->conn, "BEGIN; DELETE FROM latchkey.lease; UPDATE counter SET value = 1"
                              " WHERE id = 1; COMMIT");
    peer_finish(&peer, 20 * 1000);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), 10);
    peer_close(&peer);
    PQfinish(other);
}

/* ---- latchkey.lock in SQL ---- */

static void a_session_waits_for_a_lease_and_keeps_its_locks(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    PGconn *other = fixture_connect(stage->conninfo);
    peer_open(&peer, stage->conninfo, NULL);
    put_lease(stage->conn, "a/b", "1 hour");
    session_send(other,
                 "BEGIN; SELECT latchkey.lock(ARRAY['a', 'c']); SELECT value FROM counter WHERE id"
                 " = 1; COMMIT");
    stage_until_held(stage->conn, "a");
    nap_ms(200);
    assert_false(session_is_done(other));
    stage_until_held(stage->conn, "c");
    drop_leases(stage->conn);
    session_finish(other);

    put_lease(stage->conn, "a/b", "300 ms"); /* nobody else removes it */
    fixture_exec(other, "BEGIN; SELECT latchkey.lock('a'); COMMIT");
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM latchkey.lease"), 0);
    peer_close(&peer);
    PQfinish(other);
}

static void a_session_removes_only_expired_leases_in_its_way(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    char sqlstate[6];
    peer_open(&peer, stage->conninfo, NULL);
    put_lease(stage->conn, "a", "-1 s");
    put_lease(stage->conn, "b", "-1 s");
    fixture_exec(stage->conn, "BEGIN; SELECT latchkey.lock('a/1')");
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM latchkey.lease"), 1);
    fixture_exec(stage->conn, "ROLLBACK");
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM latchkey.lease"), 2);

    put_lease(stage->conn, "c", "1 hour");
    fixture_exec(stage->conn, "BEGIN; SET LOCAL lock_timeout = '200ms'");
    fixture_exec_fails(stage->conn, "SELECT latchkey.lock('c')", sqlstate);
    assert_string_equal(sqlstate, "55P03");
    fixture_exec(stage->conn, "ROLLBACK");
    peer_close(&peer);
}

static void a_role_without_rights_on_the_table_may_lock(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    peer_open(&peer, stage->conninfo, NULL);
    put_lease(stage->conn, "a", "-1 s");
    fixture_exec(stage->conn, "BEGIN; CREATE ROLE latchkey_lease_guest;"
                              "GRANT USAGE ON SCHEMA latchkey TO latchkey_lease_guest;"
                              "SET LOCAL ROLE latchkey_lease_guest");
    fixture_exec(stage->conn, "SELECT latchkey.lock('a')");
    fixture_exec(stage->conn, "ROLLBACK");
    peer_close(&peer);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int lease_wait_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(its_path_ancestors_and_descendants_are_refused_and_no_others),
        TEST(one_that_is_refused_keeps_none_of_its_locks),
        TEST(who_waits_for_a_lease_holds_no_connection),
        TEST(the_end_of_a_lease_is_told_to_waiters_of_other_hosts),
        TEST(the_slow_poll_needs_no_notification),
        TEST(an_expired_lease_is_removed_by_who_wants_its_path),
        TEST(an_expired_lease_whose_holder_ends_is_still_in_the_way),
        TEST(who_removes_an_expired_lease_is_in_no_stranger_s_way),
        TEST(removing_waits_for_nobody),
        TEST(a_lease_taken_while_it_waited_for_the_lock_is_seen),
        TEST(a_session_waits_for_a_lease_and_keeps_its_locks),
        TEST(a_session_removes_only_expired_leases_in_its_way),
        TEST(a_role_without_rights_on_the_table_may_lock),
    };
    return cmocka_run_group_tests_name("lease_wait", tests, stage_open, stage_close);
}
