/* Who may run while somebody else holds a lock: hosts and plain sessions that join. */
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"

#include "clock.h"

/* Sends BEGIN and the lock; the answer comes when it is granted. */
static void session_locks(PGconn *conn, const char *path)
{
    char sql[256];
    snprintf(sql, sizeof sql, "BEGIN; SELECT latchkey.lock('%s')", path);
    session_send(conn, sql);
}

static void session_holds(PGconn *conn, const char *path)
{
    fixture_execf(conn, "BEGIN; SELECT latchkey.lock('%s')", path);
}

static void a_session_that_waits_sees_what_the_holder_committed(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    struct recipe recipe = {.script = "data.row.value = data.row.value + 1 sleep(0.3)"};
    PGconn *other = fixture_connect(stage->conninfo);
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_until_held(&peer, stage->conn, "message/1");
    /* one message, two statements: the second follows the grant at once */
    session_send(other, "BEGIN; SELECT latchkey.lock('message/1');"
                        "UPDATE counter SET value = value * 100 WHERE id = 1; COMMIT");
    stage_until_waiting(stage->conn, 1);
    assert_false(session_is_done(other));
    peer_finish(&peer, 5000);
    session_finish(other);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), 100);
    peer_close(&peer);
    PQfinish(other);
}

static void the_whole_system_and_a_path_exclude_each_other(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe whole = {.name = "whole", .lock_context = "", .acquire = "1s"};
    struct recipe one = {.name = "one", .acquire = "1s"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *takes_all = peer_publish(&peer, &whole),
                    *takes_one = peer_publish(&peer, &one);

    session_holds(stage->conn, "message/1");
    struct ending ending = peer_run(&peer, takes_all, "{\"id\":2}");
    assert_int_equal(ending.status, STATUS_LOCKED);
    assert_in_range(ending.waited_us, 1000 * 1000, 8000 * 1000);
    assert_int_equal(peer_run(&peer, takes_one, "{\"id\":2}").status, STATUS_COMPLETED);
    fixture_exec(stage->conn, "COMMIT");

    session_holds(stage->conn, "*");
    assert_int_equal(peer_run(&peer, takes_one, "{\"id\":2}").status, STATUS_LOCKED);
    fixture_exec(stage->conn, "COMMIT");
    assert_int_equal(peer_run(&peer, takes_all, "{\"id\":2}").status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), 2);
    peer_close(&peer);
}

static void a_path_excludes_its_descendants_and_not_its_siblings(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe recipe = {.acquire = "1s"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    session_holds(stage->conn, "message/1");
    assert_int_equal(
        peer_run(&peer, workflow, "{\"id\":1,\"path\":[\"message\",1,\"part\",2]}").status,
        STATUS_LOCKED);
    assert_int_equal(peer_run(&peer, workflow, "{\"id\":1,\"path\":[\"message\"]}").status,
                     STATUS_LOCKED);
    assert_int_equal(peer_run(&peer, workflow, "{\"id\":1,\"path\":[\"message\",10]}").status,
                     STATUS_COMPLETED);
    fixture_exec(stage->conn, "COMMIT");
    peer_close(&peer);
}

static bool is_told(void *ending)
{
    return ((struct ending *)ending)->n_told > 0;
}

/* Tries alone: nothing may be held between the tries. */
static void one_that_was_refused_a_path_keeps_none_of_the_others(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending both, neighbour;
    struct runtime_options options = runtime_default_options();
    struct recipe recipe = {.acquire = "1s"};
    PGconn *other = fixture_connect(stage->conninfo);
    /* a neighbour in the batch whose save takes its time, so that the batch stays open */
    fixture_exec(stage->conn,
                 "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END';"
                 "CREATE TRIGGER slowly BEFORE UPDATE ON counter FOR EACH ROW"
                 " WHEN (NEW.id = 7 AND NEW.value > OLD.value) EXECUTE FUNCTION slowly()");
    options.queue_after_us = 60 * 1000 * 1000;
    peer_open(&peer, stage->conninfo, &options);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_run(&peer, workflow, "{\"id\":1}");
    session_holds(stage->conn, "b");
    peer_submit(&peer, workflow, &both, NULL, "{\"id\":1,\"path\":[[\"a\"],[\"b\"]]}");
    peer_submit(&peer, workflow, &neighbour, NULL, "{\"id\":7}");
    fixture_exec(other, "SET lock_timeout = '100ms'");
    peer_turn_until_true(&peer, other,
                         "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                         " AND datname = current_database()",
                         5000);
    session_holds(other, "a"); /* and fails the test if it must wait */
    fixture_exec(other, "ROLLBACK");
    peer_turn_until(&peer, is_told, &neighbour, 5000);
    assert_int_equal(neighbour.status, STATUS_COMPLETED);
    peer_finish(&peer, 5000);
    assert_int_equal(both.status, STATUS_LOCKED);
    fixture_exec(stage->conn, "COMMIT");
    assert_int_equal(peer_run(&peer, workflow, "{\"id\":1,\"path\":[[\"a\"],[\"b\"]]}").status,
                     STATUS_COMPLETED);
    peer_close(&peer);
    PQfinish(other);
}

/* Nor the path itself, when it is what stands above that was refused; and the neighbour, which
 * tries once, is not refused with it. */
static void one_that_was_refused_what_stands_above_keeps_not_its_own_path(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending below, neighbour;
    struct runtime_options options = runtime_default_options();
    struct recipe recipe = {0}, once = {.name = "once", .acquire = "0s"};
    PGconn *other = fixture_connect(stage->conninfo);
    fixture_exec(stage->conn,
                 "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN PERFORM pg_sleep(2); RETURN NEW; END';"
                 "CREATE TRIGGER slowly BEFORE UPDATE ON counter FOR EACH ROW"
                 " WHEN (NEW.id = 7 AND NEW.value > OLD.value) EXECUTE FUNCTION slowly()");
    options.queue_after_us = 60 * 1000 * 1000;
    peer_open(&peer, stage->conninfo, &options);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    struct workflow *tries = peer_publish(&peer, &once);
    peer_run(&peer, workflow, "{\"id\":1}");
    peer_run(&peer, tries, "{\"id\":1}");
    session_holds(stage->conn, "a");
    peer_submit(&peer, workflow, &below, NULL, "{\"id\":1,\"path\":[\"a\",\"b\"]}");
    peer_submit(&peer, tries, &neighbour, NULL, "{\"id\":7}");
    peer_turn_until_true(&peer, other,
                         "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                         " AND datname = current_database()",
                         5000);
    fixture_exec(stage->conn, "COMMIT");
    session_locks(other, "a/b"); /* perhaps behind the one that wanted it, for a moment */
    peer_turn_until(&peer, session_is_done, other, 5000);
    assert_int_equal(neighbour.n_told, 0);
    session_finish(other);
    fixture_exec(other, "ROLLBACK");
    peer_finish(&peer, 5000);
    assert_int_equal(neighbour.status, STATUS_COMPLETED);
    assert_int_equal(neighbour.attempts, 1);
    assert_int_equal(below.status, STATUS_COMPLETED);
    peer_close(&peer);
    PQfinish(other);
}

static void an_acquire_timeout_of_zero_tries_once(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe recipe = {.acquire = "0s"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    assert_int_equal(peer_run(&peer, workflow, "{\"id\":1}").status, STATUS_COMPLETED);
    session_holds(stage->conn, "message/1");
    int64_t before_us = clock_monotonic_us();
    assert_int_equal(peer_run(&peer, workflow, "{\"id\":1}").status, STATUS_LOCKED);
    assert_in_range(clock_monotonic_us() - before_us, 0, 8000 * 1000);
    fixture_exec(stage->conn, "COMMIT");
    assert_int_equal(peer_run(&peer, workflow, "{\"id\":1}").status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), 2);
    peer_close(&peer);
}

/* An execution by itself tries up to three shared keys and an exclusive one as single values, more
 * as arrays: each of them counts. */
static void by_itself_each_of_its_keys_is_tried(void **state)
{
    static const struct {
        const char *held, *input;
    } cases[] = {
        {"*", "{\"id\":1,\"path\":[\"a\"]}"},
        {"a", "{\"id\":1,\"path\":[\"a\"]}"},
        {"a/b/c", "{\"id\":1,\"path\":[\"a\"]}"},
        {"*", "{\"id\":1,\"path\":[\"a\",\"b\",\"c\"]}"},
        {"a", "{\"id\":1,\"path\":[\"a\",\"b\",\"c\"]}"},
        {"a/b", "{\"id\":1,\"path\":[\"a\",\"b\",\"c\"]}"},
        {"a/b/c", "{\"id\":1,\"path\":[\"a\",\"b\",\"c\"]}"},
        {"a/b/c/d", "{\"id\":1,\"path\":[\"a\",\"b\",\"c\"]}"},
        {"a/b/c", "{\"id\":1,\"path\":[\"a\",\"b\",\"c\",\"d\"]}"},
        {"a/b/c/d", "{\"id\":1,\"path\":[\"a\",\"b\",\"c\",\"d\"]}"},
    };
    struct stage *stage = *state;
    struct peer peer;
    struct recipe recipe = {.acquire = "0s"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    int n_cases = (int)(sizeof cases / sizeof *cases);
    for (int i = 0; i < n_cases; i++) {
        session_holds(stage->conn, cases[i].held);
        assert_int_equal(peer_run(&peer, workflow, cases[i].input).status, STATUS_LOCKED);
        fixture_exec(stage->conn, "COMMIT");
        session_holds(stage->conn, "a/other");
        assert_int_equal(peer_run(&peer, workflow, cases[i].input).status,
                         i < 3 ? STATUS_LOCKED : STATUS_COMPLETED);
        fixture_exec(stage->conn, "COMMIT");
    }
    assert_int_equal(stage_total(stage), n_cases - 3);
    peer_close(&peer);
}

static void zero_is_told_at_once_when_the_same_process_holds_the_path(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending holder, other;
    struct recipe sleeps = {.name = "sleeps", .script = "sleep(1.5)"};
    struct recipe once = {.name = "once", .acquire = "0s"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *holds = peer_publish(&peer, &sleeps), *tries = peer_publish(&peer, &once);
    peer_submit(&peer, holds, &holder, NULL, "{\"id\":1}");
    peer_turn_until_held(&peer, stage->conn, "message/1");
    peer_submit(&peer, tries, &other, NULL, "{\"id\":1,\"path\":[\"message\",1,\"part\",1]}");
    peer_turn_until(&peer, is_told, &other, 2000);
    assert_int_equal(other.status, STATUS_LOCKED);
    assert_int_equal(holder.n_told, 0);
    peer_finish(&peer, 5000);
    assert_int_equal(holder.status, STATUS_COMPLETED);
    peer_close(&peer);
}

/* Members of one batch that share a row: the second is sent back, which is no refusal. */
static void the_one_try_is_not_spent_by_a_neighbour_s_trigger(void **state)
{
    enum { N = 6 };
    struct stage *stage = *state;
    struct peer peer;
    struct ending endings[N];
    struct recipe recipe = {.acquire = "0s"};
    fixture_exec(stage->conn,
                 "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN RETURN NEW; END';"
                 "CREATE TRIGGER nothing BEFORE UPDATE ON counter FOR EACH ROW EXECUTE FUNCTION"
                 " nothing()");
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_run(&peer, workflow, "{\"id\":2}");
    for (int i = 0; i < N; i++)
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":1,\"path\":[\"p\",%d]}", i);
    peer_finish(&peer, 5000);
    for (int i = 0; i < N; i++)
        assert_int_equal(endings[i].status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), N + 1);
    peer_close(&peer);
}

/* Each of them is by itself, and waits for its row. */
static void rows_that_others_hold_do_not_stop_the_rest(void **state)
{
    enum { N = 4 };
    struct stage *stage = *state;
    struct peer peer;
    struct ending stuck[N], free_one;
    struct recipe recipe = {.waiting = "60s"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_run(&peer, workflow, "{\"id\":9}");
    fixture_exec(stage->conn, "BEGIN; SELECT FROM counter WHERE id <= 4 FOR UPDATE");
    for (int i = 0; i < N; i++) {
        peer_submit(&peer, workflow, &stuck[i], NULL, "{\"id\":%d}", i + 1);
        peer_turn_for(&peer, 100);
    }
    peer_submit(&peer, workflow, &free_one, NULL, "{\"id\":9}");
    peer_turn_until(&peer, is_told, &free_one, 20 * 1000);
    assert_int_equal(free_one.status, STATUS_COMPLETED);
    fixture_exec(stage->conn, "COMMIT");
    peer_finish(&peer, 20 * 1000);
    for (int i = 0; i < N; i++)
        assert_int_equal(stuck[i].status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), N + 2);
    peer_close(&peer);
}

static void those_that_sleep_do_not_stop_the_rest(void **state)
{
    enum { N = 4 };
    struct stage *stage = *state;
    struct peer peer;
    struct ending asleep[N], awake;
    struct recipe sleeps = {.name = "sleeps", .waiting = "60s", .script = "sleep(5)"};
    struct recipe counts = {.name = "counts"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *sleeping = peer_publish(&peer, &sleeps);
    struct workflow *counting = peer_publish(&peer, &counts);
    for (int i = 0; i < N; i++) {
        peer_submit(&peer, sleeping, &asleep[i], NULL, "{\"id\":%d}", i + 1);
        peer_turn_for(&peer, 50);
    }
    peer_submit(&peer, counting, &awake, NULL, "{\"id\":9}");
    peer_turn_until(&peer, is_told, &awake, 20 * 1000);
    assert_int_equal(awake.status, STATUS_COMPLETED);
    assert_int_equal(asleep[0].n_told, 0);
    peer_finish(&peer, 20 * 1000);
    peer_close(&peer);
}

/* Submits on paths of which each conflicts with the next, and looks at the order of effects.
 * foreign: statements of another session meanwhile. */
static void run_in_order(struct stage *stage, const char *script, const char *foreign)
{
    enum { N = 30 };
    struct peer peer;
    struct ending endings[N];
    int n_told = 0;
    struct recipe recipe = {.script = script};
    PGconn *other = fixture_connect(stage->conninfo);
    fixture_exec(stage->conn, "CREATE TABLE trace (at serial, n integer)");
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    if (foreign) {
        session_holds(other, "message/1/part/3");
        session_send(other, foreign);
    }
    for (int i = 0; i < N; i++) {
        if (i % 2)
            peer_submit(&peer, workflow, &endings[i], &n_told,
                        "{\"id\":1,\"n\":%d,\"path\":[\"message\",1,\"part\",%d]}", i, i % 6);
        else
            peer_submit(&peer, workflow, &endings[i], &n_told, "{\"id\":1,\"n\":%d}", i);
        if (i % 7 == 6)
            peer_turn_for(&peer, 5);
    }
    peer_finish(&peer, 20 * 1000);
    for (int i = 0; i < N; i++) {
        assert_int_equal(endings[i].status, STATUS_COMPLETED);
        assert_int_equal(endings[i].place, i);
    }
    session_finish(other);
    peer_close(&peer);
    PQfinish(other);
}

static void conflicting_paths_of_one_process_keep_their_order_in_batches(void **state)
{
    struct stage *stage = *state;
    run_in_order(stage, "assert(data.row.value == input.n) data.row.value = data.row.value + 1",
                 /* foreign= */ NULL);
    assert_int_equal(stage_total(stage), 30);
}

static void conflicting_paths_of_one_process_keep_their_order_one_by_one(void **state)
{
    struct stage *stage = *state;
    run_in_order(stage, "sql(\"insert into trace (n) values ($1)\", input.n)", /* foreign= */ NULL);
    assert_int_equal(fixture_int(stage->conn,
                                 "SELECT count(*) FROM (SELECT n, lag(n) OVER (ORDER BY"
                                 " at) AS before FROM trace) t WHERE n < before"),
                     0);
}

static void conflicting_paths_keep_their_order_through_a_foreign_holder(void **state)
{
    struct stage *stage = *state;
    run_in_order(stage, "assert(data.row.value == input.n) data.row.value = data.row.value + 1",
                 "SELECT pg_sleep(0.4); COMMIT");
}

static void a_session_takes_and_waits_like_a_host(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    PGconn *other = fixture_connect(stage->conninfo);
    struct recipe recipe = {0};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    session_holds(stage->conn, "message/1");
    session_locks(other, "message/1");
    stage_until_waiting(stage->conn, 1);
    struct ending ending;
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_for(&peer, 300);
    assert_int_equal(ending.n_told, 0);
    fixture_exec(stage->conn, "COMMIT"); /* the session that waited first is next */
    session_finish(other);
    peer_turn_for(&peer, 200);
    assert_int_equal(ending.n_told, 0);
    fixture_exec(other, "UPDATE counter SET value = 10 WHERE id = 1; COMMIT");
    peer_finish(&peer, 2000);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), 11);
    peer_close(&peer);
    PQfinish(other);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int grant_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_session_that_waits_sees_what_the_holder_committed),
        TEST(the_whole_system_and_a_path_exclude_each_other),
        TEST(a_path_excludes_its_descendants_and_not_its_siblings),
        TEST(one_that_was_refused_a_path_keeps_none_of_the_others),
        TEST(one_that_was_refused_what_stands_above_keeps_not_its_own_path),
        TEST(an_acquire_timeout_of_zero_tries_once),
        TEST(by_itself_each_of_its_keys_is_tried),
        TEST(zero_is_told_at_once_when_the_same_process_holds_the_path),
        TEST(the_one_try_is_not_spent_by_a_neighbour_s_trigger),
        TEST(rows_that_others_hold_do_not_stop_the_rest),
        TEST(those_that_sleep_do_not_stop_the_rest),
        TEST(conflicting_paths_of_one_process_keep_their_order_in_batches),
        TEST(conflicting_paths_of_one_process_keep_their_order_one_by_one),
        TEST(conflicting_paths_keep_their_order_through_a_foreign_holder),
        TEST(a_session_takes_and_waits_like_a_host),
    };
    return cmocka_run_group_tests_name("grant", tests, stage_open, stage_close);
}
