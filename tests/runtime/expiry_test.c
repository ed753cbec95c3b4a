/* How long a lock may last: counted from the grant, whatever its holder does meanwhile. */
#include "runtime_tests.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"

#include "clock.h"

enum {
    LATE_US = 5000 * 1000, /* a busy machine may be so late; what is cut off would take 10 s */
};

static void session_holds(PGconn *conn, const char *path)
{
    fixture_execf(conn, "BEGIN; SELECT latchkey.lock('%s')", path);
}

static void the_waiting_timeout_counts_from_the_grant(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    struct recipe recipe = {.waiting = "500ms",
                            .script = "sleep(0.3) data.row.value = data.row.value + 1"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    peer_run(&peer, workflow, "{\"id\":2}");
    session_holds(stage->conn, "message/1");
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_for(&peer, 800);
    fixture_exec(stage->conn, "COMMIT");
    peer_finish(&peer, 5000);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(ending.attempts, 1);
    assert_in_range(ending.waited_us, 750 * 1000, 800 * 1000 + LATE_US);
    peer_close(&peer);
}

/* Runs a holder that takes too long beside a session that waits for its lock. */
static void holder_is_cut_off(struct stage *stage, const struct recipe *recipe, int64_t limit_us)
{
    struct peer peer;
    struct ending ending;
    struct recipe quick = {.name = "quick"};
    PGconn *next = fixture_connect(stage->conninfo);
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, recipe), *after = peer_publish(&peer, &quick);
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_until_held(&peer, stage->conn, "message/1");
    int64_t since_us = clock_monotonic_us();
    session_send(next, "BEGIN; SELECT latchkey.lock('message/1'); COMMIT");
    peer_turn_until(&peer, session_is_done, next, 5000);
    int64_t took_us = clock_monotonic_us() - since_us;
    session_finish(next);
    peer_finish(&peer, 5000);
    assert_string_equal(ending.reason, "held longer than the waiting timeout");
    assert_int_equal(ending.status, STATUS_EXPIRED);
    assert_in_range(took_us, limit_us / 2, limit_us + LATE_US);
    assert_in_range(ending.held_us, limit_us - 100 * 1000, limit_us + LATE_US);
    assert_int_equal(ending.attempts, 1);
    assert_int_equal(stage_total(stage), 0);
    assert_int_equal(peer_run(&peer, after, "{\"id\":1}").status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), 1);
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM latchkey.execution WHERE status"
                                              " = 'expired'"),
                     1);
    peer_close(&peer);
    PQfinish(next);
}

static void a_script_that_sleeps_past_it_expires(void **state)
{
    struct recipe recipe = {.waiting = "400ms",
                            .script = "data.row.value = data.row.value + 1 sleep(10)"};
    holder_is_cut_off(*state, &recipe, 400 * 1000);
}

static void a_statement_that_runs_past_it_expires(void **state)
{
    struct recipe recipe = {.waiting = "400ms",
                            .script = "data.row.value = data.row.value + 1"
                                      " sql(\"select 1 as n from pg_sleep(10)\")"};
    holder_is_cut_off(*state, &recipe, 400 * 1000);
}

static void an_error_that_the_script_catches_does_not_let_it_go_on(void **state)
{
    struct recipe recipe = {.waiting = "400ms",
                            .script =
                                "data.row.value = data.row.value + 1"
                                " pcall(function() sql(\"select 1 as n from pg_sleep(10)\") end)"
                                " data.row.value = data.row.value + 1"};
    holder_is_cut_off(*state, &recipe, 400 * 1000);
}

static void many_short_statements_expire_in_sum(void **state)
{
    struct recipe recipe = {.waiting = "500ms",
                            .script = "data.row.value = data.row.value + 1 for i = 1, 50 do"
                                      " sql(\"select 1 as n from pg_sleep(0.1)\") end"};
    holder_is_cut_off(*state, &recipe, 500 * 1000);
}

static void slow_triggers(PGconn *conn)
{
    fixture_exec(conn, "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
                       " 'BEGIN PERFORM pg_sleep(TG_ARGV[0]::float); RETURN NEW; END'");
}

/* Each of the three statements has its own statement_timeout and keeps it: only the look at the
 * clock before the commit finds that the sum is too much. */
static void saves_that_are_late_in_sum_do_not_commit(void **state)
{
    struct stage *stage = *state;
    struct recipe recipe = {.waiting = "600ms",
                            .script = "local b = objects.load(\"b\", { id = 1 })"
                                      " local c = objects.load(\"c\", { id = 1 })"
                                      " data.row.value = data.row.value + 1"
                                      " b.value = 1 c.value = 1"};
    slow_triggers(stage->conn);
    fixture_exec(stage->conn,
                 "CREATE TABLE b (id int PRIMARY KEY, value int); INSERT INTO b VALUES (1, 0);"
                 "CREATE TABLE c (id int PRIMARY KEY, value int); INSERT INTO c VALUES (1, 0);"
                 "CREATE TRIGGER slowly BEFORE UPDATE ON b FOR EACH ROW EXECUTE FUNCTION"
                 " slowly('0.35');"
                 "CREATE TRIGGER slowly BEFORE UPDATE ON c FOR EACH ROW EXECUTE FUNCTION"
                 " slowly('0.35')");
    struct peer peer;
    peer_open(&peer, stage->conninfo, NULL);
    struct ending ending = peer_run(&peer, peer_publish(&peer, &recipe), "{\"id\":1}");
    assert_string_equal(ending.reason, "held longer than the waiting timeout");
    assert_int_equal(ending.status, STATUS_EXPIRED);
    assert_int_equal(stage_total(stage), 0);
    assert_int_equal(
        fixture_int(stage->conn, "SELECT (SELECT value FROM b) + (SELECT value FROM c)"), 0);
    peer_close(&peer);
}

/* statement_timeout does not run during COMMIT, where deferred triggers would. */
static void a_deferred_trigger_is_cut_off_too(void **state)
{
    struct stage *stage = *state;
    struct recipe recipe = {.waiting = "400ms"};
    slow_triggers(stage->conn);
    fixture_exec(stage->conn,
                 "CREATE CONSTRAINT TRIGGER slowly AFTER UPDATE ON counter DEFERRABLE INITIALLY"
                 " DEFERRED FOR EACH ROW WHEN (NEW.value = 1) EXECUTE FUNCTION slowly('10')");
    struct peer peer;
    peer_open(&peer, stage->conninfo, NULL);
    struct ending ending = peer_run(&peer, peer_publish(&peer, &recipe), "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_EXPIRED);
    assert_in_range(ending.held_us, 300 * 1000, 400 * 1000 + LATE_US);
    assert_int_equal(stage_total(stage), 0);
    peer_close(&peer);
}

/* In a batch nobody expires for the others: they run again, and only the slow one ends so. */
static void a_slow_member_does_not_expire_its_neighbours(void **state)
{
    enum { N = 12 };
    struct stage *stage = *state;
    struct peer peer;
    struct ending endings[N];
    struct recipe recipe = {.waiting = "400ms"};
    slow_triggers(stage->conn);
    fixture_exec(stage->conn,
                 "CREATE TRIGGER slowly BEFORE UPDATE ON counter FOR EACH ROW WHEN (NEW.id = 5)"
                 " EXECUTE FUNCTION slowly('10')");
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    for (int i = 0; i < N; i++)
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":%d}", i + 1);
    peer_finish(&peer, 10 * 1000);
    for (int i = 0; i < N; i++)
        assert_int_equal(endings[i].status, i + 1 == 5 ? STATUS_EXPIRED : STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), N - 1);
    peer_close(&peer);
}

/* ---- a process that is stopped ---- */

struct stopped {
    int state; /* 1: submitted */
    struct ending ending;
};

static void run_one_in_child(struct peer *peer, void *shared)
{
    struct stopped *stopped = shared;
    struct recipe recipe = {.name = "frozen",
                            .waiting = "3s",
                            .acquire = "20s",
                            .script = "data.row.value = data.row.value + 1 sleep(2)"};
    struct workflow *workflow = peer_publish(peer, &recipe);
    peer_submit(peer, workflow, &stopped->ending, NULL, "{\"id\":1}");
    __atomic_store_n(&stopped->state, 1, __ATOMIC_SEQ_CST);
    peer_finish(peer, 30 * 1000);
}

static void a_stopped_process_loses_its_lock_and_saves_nothing(void **state)
{
    struct stage *stage = *state;
    struct stopped *stopped = share_new(sizeof *stopped);
    struct peer peer;
    struct recipe recipe = {0};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    pid_t pid = peer_fork(stage->conninfo, NULL, run_one_in_child, stopped);
    stage_until_held(stage->conn, "message/1");
    nap_ms(50); /* its script sleeps */
    kill(pid, SIGSTOP);
    struct ending next = peer_run(&peer, workflow, "{\"id\":1}");
    assert_int_equal(next.status, STATUS_COMPLETED);
    assert_in_range(next.waited_us, 100 * 1000, 3000 * 1000 + LATE_US);
    kill(pid, SIGCONT);
    peer_join(pid);
    assert_int_equal(stopped->ending.n_told, 1);
    assert_int_equal(stopped->ending.status, STATUS_EXPIRED);
    assert_int_equal(stage_total(stage), 1);
    share_free(stopped, sizeof *stopped);
    peer_close(&peer);
}

/* It is granted its lock while it is stopped: its time runs from there, not from its thaw. */
static void a_process_stopped_while_it_waits_does_not_keep_what_it_is_granted(void **state)
{
    struct stage *stage = *state;
    struct stopped *stopped = share_new(sizeof *stopped);
    struct peer peer;
    struct recipe recipe = {0};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    session_holds(stage->conn, "message/1");
    pid_t pid = peer_fork(stage->conninfo, NULL, run_one_in_child, stopped);
    stage_until_waiting(stage->conn, 1);
    kill(pid, SIGSTOP);
    fixture_exec(stage->conn, "COMMIT");
    nap_ms(100);
    struct ending next = peer_run(&peer, workflow, "{\"id\":1}");
    assert_int_equal(next.status, STATUS_COMPLETED);
    assert_in_range(next.waited_us, 100 * 1000, 3000 * 1000 + LATE_US);
    kill(pid, SIGCONT);
    peer_join(pid);
    assert_int_equal(stopped->ending.n_told, 1);
    assert_int_equal(stage_total(stage), 1 + (stopped->ending.status == STATUS_COMPLETED ? 1 : 0));
    share_free(stopped, sizeof *stopped);
    peer_close(&peer);
}

/* Its time runs from the server's grant also when it learns of the grant late. */
static void a_process_that_learns_late_of_its_grant_has_no_more_time(void **state)
{
    struct stage *stage = *state;
    struct stopped *stopped = share_new(sizeof *stopped);
    struct peer peer;
    peer_open(&peer, stage->conninfo, NULL);
    session_holds(stage->conn, "message/1");
    pid_t pid = peer_fork(stage->conninfo, NULL, run_one_in_child, stopped);
    stage_until_waiting(stage->conn, 1);
    kill(pid, SIGSTOP);
    fixture_exec(stage->conn, "COMMIT");
    nap_ms(2000);
    kill(pid, SIGCONT); /* a second is left of its three, and its script sleeps for two */
    peer_join(pid);
    assert_int_equal(stopped->ending.status, STATUS_EXPIRED);
    assert_int_equal(stage_total(stage), 0);
    share_free(stopped, sizeof *stopped);
    peer_close(&peer);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int expiry_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_waiting_timeout_counts_from_the_grant),
        TEST(a_script_that_sleeps_past_it_expires),
        TEST(a_statement_that_runs_past_it_expires),
        TEST(an_error_that_the_script_catches_does_not_let_it_go_on),
        TEST(many_short_statements_expire_in_sum),
        TEST(saves_that_are_late_in_sum_do_not_commit),
        TEST(a_deferred_trigger_is_cut_off_too),
        TEST(a_slow_member_does_not_expire_its_neighbours),
        TEST(a_stopped_process_loses_its_lock_and_saves_nothing),
        TEST(a_process_stopped_while_it_waits_does_not_keep_what_it_is_granted),
        TEST(a_process_that_learns_late_of_its_grant_has_no_more_time),
    };
    return cmocka_run_group_tests_name("expiry", tests, stage_open, stage_close);
}
