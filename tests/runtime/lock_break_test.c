/* An operator breaks a lock: only who holds that path ends, and it is known who did it. */
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"

#include "definition_read.h"
#include "lock_break.h"

enum {
    SOON_MS = 20 * 1000,
    ASLEEP_MS = 60 * 1000, /* a holder that is not broken would hold for so long */
};

static const struct recipe sleeper = {
    .name = "sleeper", .waiting = "60s", .acquire = "60s", .script = "sleep(input.n or 0)"};

/* What came of a break. */
struct broken {
    bool told;
    struct fault fault;
    char met[2048];
};

static void on_broken(const char *met, const struct fault *fault, void *arg)
{
    struct broken *broken = arg;
    broken->told = true;
    if (fault)
        broken->fault = *fault;
    snprintf(broken->met, sizeof broken->met, "%s", met ? met : "");
}

static bool is_told(void *arg)
{
    return ((struct broken *)arg)->told;
}

static struct broken break_lock(struct peer *peer, const char *path)
{
    struct broken broken = {0};
    struct lock_break *request;
    struct fault fault;
    peer_must(
        peer,
        lock_break_start(peer->runtime, path, "ann@desk", on_broken, &broken, &request, &fault),
        fault.text);
    peer_turn_until(peer, is_told, &broken, SOON_MS);
    return broken;
}

static int64_t n_breaks(struct stage *stage, const char *condition)
{
    char sql[1024];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM latchkey.lock_break WHERE %s", condition);
    return fixture_int(stage->conn, sql);
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

/* Two members on different paths in one transaction, which hangs while it saves. */
static void only_the_member_that_holds_the_broken_path_ends(void **state)
{
    enum { N = 3 };
    struct stage *stage = *state;
    struct peer peer, operator;
    struct ending endings[N];
    slow_trigger(stage->conn, 2, "60");
    peer_open(&peer, stage->conninfo, NULL);
    peer_open_beside(&operator, & peer, stage->conninfo, NULL);
    struct workflow *workflow =
        peer_publish(&peer, &(struct recipe){.waiting = "60s", .acquire = "60s"});
    for (int i = 0; i < N; i++)
        peer_submit(&peer, workflow, &endings[i], NULL, "{\"id\":%d}", i + 1);
    peer_turn_until_held(&peer, stage->conn, "message/2");
    /* all in one: the same session holds them */
    assert_int_equal(fixture_int(stage->conn, "SELECT count(DISTINCT pid) FROM pg_locks WHERE"
                                              " locktype = 'advisory' AND granted"),
                     1);
    peer_turn_until_held(&peer, stage->conn, "message/1");
    struct broken broken = break_lock(&operator, "message/2");
    assert_int_equal(broken.fault.kind, FAULT_NONE);
    peer_finish(&peer, SOON_MS);
    assert_int_equal(endings[1].status, STATUS_EXPIRED);
    assert_string_equal(endings[1].reason, "its lock on message/2 was broken by ann@desk");
    assert_int_equal(endings[0].status, STATUS_COMPLETED);
    assert_int_equal(endings[2].status, STATUS_COMPLETED);
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM counter WHERE value = 1 AND id"
                                              " IN (1, 3)"),
                     2);
    assert_int_equal(stage_total(stage), 2);
    assert_int_equal(n_breaks(stage, "path = 'message/2' AND by = 'ann@desk' AND role ="
                                     " current_user AND pid IS NOT NULL AND at <= now()"),
                     1);
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM latchkey.execution WHERE status"
                                              " = 'expired' AND reason LIKE '%broken by ann@desk'"),
                     1);
    peer_close(&operator);
    peer_close(&peer);
}

/* Its script sleeps; it is told soon and not when it wakes, and who waits behind it goes on. */
static void a_script_that_sleeps_is_ended_at_once(void **state)
{
    struct stage *stage = *state;
    struct peer peer, operator;
    struct ending holder, next;
    peer_open(&peer, stage->conninfo, NULL);
    peer_open_beside(&operator, & peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &sleeper);
    peer_submit(&peer, workflow, &holder, NULL, "{\"id\":1, \"n\":%d}", ASLEEP_MS / 1000);
    peer_turn_until_held(&peer, stage->conn, "message/1");
    peer_submit(&peer, workflow, &next, NULL, "{\"id\":1}");
    peer_turn_until_true(&peer, stage->conn,
                         "SELECT EXISTS (SELECT FROM latchkey.locks WHERE path = 'message/1' AND"
                         " granted AND workflow = 'sleeper')",
                         SOON_MS);
    struct broken broken = break_lock(&operator, "message/1");
    assert_int_equal(broken.fault.kind, FAULT_NONE);
    assert_non_null(strstr(broken.met, "\"workflow\": \"sleeper\""));
    peer_finish(&peer, SOON_MS);
    assert_int_equal(holder.status, STATUS_EXPIRED);
    assert_string_equal(holder.reason, "its lock on message/1 was broken by ann@desk");
    assert_int_equal(next.status, STATUS_COMPLETED);
    assert_int_equal(n_breaks(stage, "met -> 0 ->> 'activity' = 'act'"), 1);
    peer_close(&operator);
    peer_close(&peer);
}

static struct workflow *publish(struct peer *peer, const char *source)
{
    struct definition *definition;
    struct workflow *workflow;
    struct problems problems;
    struct fault fault;
    bool published;
    problems_init(&problems);
    bool ok = definition_read(runtime_sandbox(peer->runtime), "test", source, strlen(source),
                              &definition, &problems);
    peer_must(peer, ok, problems.n_items ? problems.items[0].message : "not readable");
    problems_done(&problems);
    peer_must(peer,
              runtime_publish(peer->runtime, definition, /* base= */ -1, "test", &workflow,
                              &published, &fault),
              fault.text);
    return workflow;
}

/* Of three activities in one transaction the last one sleeps; the locks of all are held. */
static void a_lock_of_an_activity_that_is_not_yet_committed_can_be_broken(void **state)
{
    static const char source[] =
        "workflow: chain\nstart: a\nactivities:\n"
        "  a:\n    enable-exclusive-lock: true\n    lock-context: '{\"a\", 1}'\n"
        "    auto-commit-changes: false\n    waiting-timeout: 60s\n    script: ''\n"
        "    navigation: [ { to: b, rule: 'true' } ]\n"
        "  b:\n    enable-exclusive-lock: true\n    lock-context: '{\"b\", 1}'\n"
        "    auto-commit-changes: false\n    waiting-timeout: 60s\n    script: ''\n"
        "    navigation: [ { to: c, rule: 'true' } ]\n"
        "  c:\n    enable-exclusive-lock: true\n    lock-context: '{\"c\", 1}'\n"
        "    waiting-timeout: 60s\n    script: sleep(50)\n";
    static const char *const paths[] = {"a/1", "b/1", "c/1"};
    struct stage *stage = *state;
    struct peer peer, operator;
    peer_open(&peer, stage->conninfo, NULL);
    peer_open_beside(&operator, & peer, stage->conninfo, NULL);
    struct workflow *workflow = publish(&peer, source);
    for (int i = 0; i < 3; i++) {
        struct ending ending;
        char reason[128];
        peer_submit(&peer, workflow, &ending, NULL, "{}");
        peer_turn_until_held(&peer, stage->conn, "c/1");
        assert_int_equal(break_lock(&operator, paths[i]).fault.kind, FAULT_NONE);
        peer_finish(&peer, SOON_MS);
        assert_int_equal(ending.status, STATUS_EXPIRED);
        snprintf(reason, sizeof reason, "its lock on %s was broken by ann@desk", paths[i]);
        assert_string_equal(ending.reason, reason);
    }
    peer_close(&operator);
    peer_close(&peer);
}

/* A session that is ended by somebody else, or a break of another time, ends nobody. */
static void a_session_that_is_ended_otherwise_is_run_again(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(
        &peer, &(struct recipe){.waiting = "60s",
                                .acquire = "60s",
                                .script = "sleep(1) data.row.value = data.row.value + 1"});
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_until_held(&peer, stage->conn, "message/1");
    fixture_execf(stage->conn,
                  "INSERT INTO latchkey.lock_break (path, key, by, met, tag, until_ms, tokens)"
                  " VALUES ('message/1', latchkey.lock_key('message/1'), 'an older one', '[]',"
                  " right('%s', 8), 1, '{}')",
                  runtime_process_id(peer.runtime));
    fixture_exec(stage->conn, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype ="
                              " 'advisory' AND mode = 'ExclusiveLock'");
    peer_finish(&peer, SOON_MS);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(ending.attempts, 2);
    assert_int_equal(stage_total(stage), 1);
    peer_close(&peer);
}

static void nobody_is_met_where_nobody_holds(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct fault fault;
    struct lock_break *request;
    struct broken unused = {0};
    peer_open(&peer, stage->conninfo, NULL);
    fixture_exec(stage->conn, "BEGIN; SELECT latchkey.lock('a/b')");
    struct broken broken = break_lock(&peer, "a");
    assert_int_equal(broken.fault.kind, FAULT_MISSING);
    assert_string_equal(broken.fault.text, "nobody holds a");
    fixture_exec(stage->conn, "COMMIT");
    assert_int_equal(n_breaks(stage, "true"), 0);
    assert_false(
        lock_break_start(peer.runtime, "a//b", "ann", on_broken, &unused, &request, &fault));
    assert_int_equal(fault.kind, FAULT_INVALID);
    peer_close(&peer);
}

/* By its path, and by its key as the view shows it. */
static void a_stranger_is_ended_too(void **state)
{
    static const char *const texts[] = {"'a/b'",
                                        "'*' || lpad(to_hex(latchkey.lock_key('a/b')), 16, '0')"};
    struct stage *stage = *state;
    struct peer peer;
    peer_open(&peer, stage->conninfo, NULL);
    for (int i = 0; i < 2; i++) {
        char sql[256], path[64];
        PGconn *stranger = fixture_connect(stage->conninfo);
        fixture_exec(stranger, "BEGIN; SELECT latchkey.lock('a/b')");
        snprintf(sql, sizeof sql, "SELECT %s", texts[i]);
        fixture_text(stage->conn, sql, path, sizeof path);
        struct broken broken = break_lock(&peer, path);
        assert_int_equal(broken.fault.kind, FAULT_NONE);
        PQclear(PQexec(stranger, "SELECT 1"));
        assert_int_equal(PQstatus(stranger), CONNECTION_BAD);
        PQfinish(stranger);
    }
    assert_int_equal(n_breaks(stage, "key = latchkey.lock_key('a/b') AND tag IS NULL"), 2);
    peer_close(&peer);
}

static void a_lease_is_broken_by_deleting_all_its_rows(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    peer_open(&peer, stage->conninfo, NULL);
    fixture_exec(stage->conn,
                 "INSERT INTO latchkey.lease (path, token, holder, process, instance, workflow,"
                 " activity, expires_at) SELECT p, t, gen_random_uuid(), gen_random_uuid(),"
                 " gen_random_uuid(), 'pay', 'call', now() + interval '1 hour'"
                 " FROM (VALUES ('pay/1', 5), ('pay/2', 5), ('pay/3', 6)) AS v(p, t)");
    struct broken broken = break_lock(&peer, "pay/2");
    assert_int_equal(broken.fault.kind, FAULT_NONE);
    assert_non_null(strstr(broken.met, "\"mode\": \"lease\""));
    assert_int_equal(fixture_int(stage->conn, "SELECT sum(token)::bigint FROM latchkey.lease"), 6);
    assert_int_equal(n_breaks(stage, "tokens = '{5}' AND pid IS NULL"), 1);
    fixture_exec(stage->conn, "DELETE FROM latchkey.lease");
    peer_close(&peer);
}

static int reset(void **state)
{
    struct stage *stage = *state;
    int failed = stage_reset(state);
    fixture_exec(stage->conn, "DO 'BEGIN IF to_regclass(''latchkey.lock_break'') IS NOT NULL THEN"
                              " TRUNCATE latchkey.lock_break, latchkey.lock_name; END IF; END'");
    return failed;
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int lock_break_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_the_member_that_holds_the_broken_path_ends),
        TEST(a_script_that_sleeps_is_ended_at_once),
        TEST(a_lock_of_an_activity_that_is_not_yet_committed_can_be_broken),
        TEST(a_session_that_is_ended_otherwise_is_run_again),
        TEST(nobody_is_met_where_nobody_holds),
        TEST(a_stranger_is_ended_too),
        TEST(a_lease_is_broken_by_deleting_all_its_rows),
    };
    return cmocka_run_group_tests_name("lock_break", tests, stage_open, stage_close);
}
