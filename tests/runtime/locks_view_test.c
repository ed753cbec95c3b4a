/* Who holds, who waits: latchkey.locks, and what hosts tell for it. */
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"

#include "runtime_sql.h"
#include "text.h"

enum {
    SOON_MS = 20 * 1000,
    SQL_BYTES = 2048,
};

/* With n it holds its lock until it is let go. */
static const struct recipe sleeper = {
    .name = "sleeper",
    .waiting = "60s",
    .acquire = "60s",
    .script = "while input.n and sql(\"select value from counter where id = 1000\")[1].value == 0"
              " do sleep(0.05) end"};

static void let_go(struct stage *stage)
{
    fixture_exec(stage->conn, "UPDATE counter SET value = 1 WHERE id = 1000");
}

/* The host of this process, as the view shows it. */
#define THIS_HOST "host LIKE '%:' || (SELECT max(pid) FROM latchkey.host)"

/* As `latchkey locks` does: lists, and lets the hosts know that somebody looks. */
static void ask(PGconn *conn)
{
    struct text sql;
    static const char mark[] = "@schema@";
    text_init(&sql, 1 << 16);
    const char *from = SQL_LOCK_LIST;
    for (const char *at; (at = strstr(from, mark)); from = at + strlen(mark)) {
        text_add(&sql, from, (size_t)(at - from));
        text_add_chars(&sql, "latchkey");
    }
    text_add_chars(&sql, from);
    fixture_exec(conn, text_chars(&sql));
    text_done(&sql);
}

static void until(struct peer *peer, struct stage *stage, const char *condition)
{
    char sql[SQL_BYTES];
    snprintf(sql, sizeof sql, "SELECT EXISTS (SELECT FROM latchkey.locks WHERE %s)", condition);
    peer_turn_until_true(peer, stage->conn, sql, SOON_MS);
}

static int64_t count(struct stage *stage, const char *condition)
{
    char sql[SQL_BYTES];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM latchkey.locks WHERE %s", condition);
    return fixture_int(stage->conn, sql);
}

static int64_t n_names(struct stage *stage)
{
    return fixture_int(stage->conn, "SELECT count(*) FROM latchkey.lock_name");
}

static void a_stranger_shows_by_its_key_until_a_host_waits_for_it(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &(struct recipe){.acquire = "60s"});
    PGconn *stranger = fixture_connect(stage->conninfo);
    fixture_exec(stranger, "SET application_name = 'a report'");
    fixture_exec(stranger, "BEGIN; SELECT latchkey.lock('message/1')");
    assert_int_equal(count(stage, "path = '*' || lpad(to_hex(latchkey.lock_key('message/1')), 16,"
                                  " '0') AND mode = 'exclusive' AND granted AND host LIKE"
                                  " 'a report backend %' AND instance IS NULL"),
                     1);
    assert_int_equal(count(stage, "path = '*' AND mode = 'shared' AND granted"), 1);
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    until(&peer, stage,
          "path = 'message/1' AND granted AND mode = 'exclusive' AND host LIKE 'a report backend %'"
          " AND waiting_ms IS NULL AND blocked_by = '{}'");
    until(&peer, stage,
          "path = 'message/1' AND NOT granted AND mode = 'exclusive' AND workflow = 'count' AND"
          " activity = 'act' AND instance IS NOT NULL AND blocked_by = '{message/1}' AND"
          " waiting_ms >= 1000 AND since < now() AND " THIS_HOST);
    fixture_exec(stranger, "COMMIT");
    peer_finish(&peer, SOON_MS);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    peer_turn_until_true(&peer, stage->conn, "SELECT count(*) = 0 FROM latchkey.lock_name",
                         SOON_MS);
    PQfinish(stranger);
    peer_close(&peer);
}

static void nothing_is_told_unless_somebody_asks(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &sleeper);
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1, \"n\":1}");
    peer_turn_until_held(&peer, stage->conn, "message/1");
    peer_turn_for(&peer, 2500);
    assert_int_equal(n_names(stage), 0);
    assert_int_equal(count(stage, "granted AND mode = 'exclusive' AND path ~ '^\\*[0-9a-f]{16}$'"
                                  " AND " THIS_HOST),
                     1);
    let_go(stage);
    peer_finish(&peer, SOON_MS);
    fixture_exec(stage->conn, "UPDATE counter SET value = 0 WHERE id = 1000");
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1, \"n\":1}");
    ask(stage->conn);
    until(&peer, stage,
          "path = 'message/1' AND granted AND workflow = 'sleeper' AND instance IS NOT NULL AND"
          " since BETWEEN now() - interval '10 s' AND now() AND " THIS_HOST);
    assert_int_equal(count(stage, "path = 'message' AND mode = 'shared' AND granted"), 1);
    let_go(stage);
    peer_finish(&peer, SOON_MS);
    peer_close(&peer);
}

/* Two hosts: one holds, the other's head waits in PostgreSQL and those behind it in memory. */
static void those_who_queue_in_a_host_are_shown_after_a_second(void **state)
{
    enum { N = 4 };
    struct stage *stage = *state;
    struct peer peer, other;
    struct ending endings[N];
    peer_open(&peer, stage->conninfo, NULL);
    peer_open_beside(&other, &peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &sleeper);
    struct workflow *others = peer_publish(&other, &sleeper);
    peer_submit(&peer, workflow, &endings[0], NULL, "{\"id\":1, \"n\":1}");
    peer_turn_until_held(&peer, stage->conn, "message/1");
    for (int i = 1; i < N; i++)
        peer_submit(&other, others, &endings[i], NULL, "{\"id\":1}");
    peer_turn_until_true(
        &peer, stage->conn,
        "SELECT (SELECT count(*) FILTER (WHERE mode = 'queued') >= 2 AND count(DISTINCT instance)"
        " >= 3 FROM latchkey.locks WHERE path = 'message/1' AND NOT granted AND waiting_ms >= 1000"
        " AND blocked_by = '{message/1}' AND workflow = 'sleeper')"
        " AND EXISTS (SELECT FROM latchkey.locks WHERE path = 'message/1' AND granted"
        " AND workflow = 'sleeper' AND activity = 'act' AND instance IS NOT NULL)",
        SOON_MS);
    let_go(stage);
    peer_finish(&other, SOON_MS);
    peer_finish(&peer, SOON_MS);
    for (int i = 0; i < N; i++)
        assert_int_equal(endings[i].status, STATUS_COMPLETED);
    peer_turn_until_true(&peer, stage->conn, "SELECT count(*) = 0 FROM latchkey.lock_name",
                         SOON_MS);
    peer_close(&other);
    peer_close(&peer);
}

/* Who wants a whole branch is kept from it by the paths below. */
static void a_wait_for_an_ancestor_names_the_paths_below(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending holder, waiter;
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &sleeper);
    peer_submit(&peer, workflow, &holder, NULL, "{\"id\":7, \"n\":1}");
    peer_turn_until_held(&peer, stage->conn, "message/7");
    struct peer other;
    peer_open_beside(&other, &peer, stage->conninfo, NULL);
    struct workflow *others = peer_publish(&other, &sleeper);
    peer_submit(&other, others, &waiter, NULL, "{\"id\":1, \"path\":[\"message\"]}");
    until(&peer, stage,
          "path = 'message' AND mode = 'exclusive' AND NOT granted AND blocked_by ="
          " '{message/7}'");
    let_go(stage);
    peer_finish(&other, SOON_MS);
    peer_finish(&peer, SOON_MS);
    peer_close(&other);
    peer_close(&peer);
}

static void slow_trigger(PGconn *conn, int id, const char *seconds)
{
    fixture_exec(conn, "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
                       " 'BEGIN PERFORM pg_sleep(TG_ARGV[0]::float); RETURN NEW; END'");
    fixture_execf(conn,
                  "CREATE TRIGGER slowly BEFORE UPDATE ON counter FOR EACH ROW WHEN (NEW.id = %d)"
                  " EXECUTE FUNCTION slowly('%s')",
                  id, seconds);
}

/* One session holds the paths of several executions, each of which is shown with its own. */
static void members_of_a_batch_are_told_apart(void **state)
{
    enum { N = 3 };
    struct stage *stage = *state;
    struct peer peer;
    struct ending endings[N];
    slow_trigger(stage->conn, 2, "5");
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow =
        peer_publish(&peer, &(struct recipe){.waiting = "60s", .acquire = "60s"});
    for (int i = 0; i < N; i++)
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":%d}", i + 1);
    ask(stage->conn);
    peer_turn_until_true(
        &peer, stage->conn,
        "SELECT count(DISTINCT instance) = 3 AND count(DISTINCT path) = 3 AND count(*) = 3 FROM"
        " latchkey.locks WHERE mode = 'exclusive' AND granted AND path LIKE 'message/_'",
        SOON_MS);
    assert_int_equal(count(stage, "mode = 'shared' AND path = 'message' AND instance IS NULL"), 1);
    peer_finish(&peer, SOON_MS);
    assert_int_equal(stage_total(stage), N);
    peer_close(&peer);
}

static void a_lease_is_shown_and_what_it_blocks(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    peer_open(&peer, stage->conninfo, NULL);
    fixture_exec(stage->conn,
                 "INSERT INTO latchkey.lease (path, token, holder, process, instance, workflow,"
                 " activity, expires_at) VALUES ('pay/1', 5, gen_random_uuid(), gen_random_uuid(),"
                 " gen_random_uuid(), 'pay', 'call', now() + interval '1 hour');"
                 "INSERT INTO latchkey.lock_name (process, state, key, path, exclusive, instance,"
                 " workflow, activity, since) VALUES (gen_random_uuid(), 'queued',"
                 " latchkey.lock_key('pay'), 'pay', true, gen_random_uuid(), 'audit', 'all',"
                 " now() - interval '3 s')");
    assert_int_equal(count(stage, "path = 'pay/1' AND mode = 'lease' AND granted AND workflow ="
                                  " 'pay' AND activity = 'call' AND instance IS NOT NULL"),
                     1);
    assert_int_equal(count(stage, "path = 'pay' AND mode = 'queued' AND NOT granted AND"
                                  " blocked_by = '{pay/1}' AND waiting_ms >= 3000"),
                     1);
    fixture_exec(stage->conn, "DELETE FROM latchkey.lease; DELETE FROM latchkey.lock_name");
    peer_close(&peer);
}

/* What a dead host has told goes, and the table stays small however many wait. */
static void what_is_told_is_bounded_and_tidied(void **state)
{
    enum { N = 400 };
    static struct ending endings[N];
    struct stage *stage = *state;
    struct peer peer;
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &(struct recipe){.acquire = "120s"});
    fixture_exec(stage->conn,
                 "INSERT INTO latchkey.lock_name (process, state, key, path, exclusive, since,"
                 " seen_at) VALUES (gen_random_uuid(), 'queued', 1, 'gone', true, now(),"
                 " now() - interval '2 minutes')");
    assert_int_equal(count(stage, "path = 'gone'"), 0);
    fixture_exec(stage->conn, "BEGIN; SELECT latchkey.lock('message/1')");
    for (int i = 0; i < N; i++)
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":1}");
    PGconn *reader = fixture_connect(stage->conninfo);
    peer_turn_until_true(&peer, reader,
                         "SELECT count(DISTINCT instance) = 200 AND count(*) < 700 AND"
                         " bool_and(path <> 'gone') FROM latchkey.lock_name WHERE state = 'queued'",
                         SOON_MS);
    fixture_exec(stage->conn, "COMMIT");
    peer_finish(&peer, 60 * 1000);
    assert_int_equal(stage_total(stage), N);
    PQfinish(reader);
    peer_close(&peer);
}

/* Advisory locks of other programs are none of ours. */
static void foreign_advisory_locks_are_not_shown(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    peer_open(&peer, stage->conninfo, NULL);
    fixture_exec(stage->conn,
                 "BEGIN; SELECT pg_advisory_xact_lock(42), pg_advisory_xact_lock(1, 2)");
    assert_int_equal(count(stage, "true"), 0);
    fixture_exec(stage->conn, "COMMIT");
    peer_close(&peer);
}

static int reset(void **state)
{
    struct stage *stage = *state;
    int failed = stage_reset(state);
    fixture_exec(stage->conn, "DO 'BEGIN IF to_regclass(''latchkey.lock_name'') IS NOT NULL THEN"
                              " TRUNCATE latchkey.lock_name, latchkey.lock_ask; END IF; END'");
    return failed;
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int locks_view_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_stranger_shows_by_its_key_until_a_host_waits_for_it),
        TEST(nothing_is_told_unless_somebody_asks),
        TEST(those_who_queue_in_a_host_are_shown_after_a_second),
        TEST(a_wait_for_an_ancestor_names_the_paths_below),
        TEST(members_of_a_batch_are_told_apart),
        TEST(a_lease_is_shown_and_what_it_blocks),
        TEST(what_is_told_is_bounded_and_tidied),
        TEST(foreign_advisory_locks_are_not_shown),
    };
    return cmocka_run_group_tests_name("locks_view", tests, stage_open, stage_close);
}
