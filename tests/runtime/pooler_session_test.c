/*
 * The sessions that a PgBouncer lends: others have used them and will use them. What they left must
 * not matter, and nothing may be left to them.
 */
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"

#include "definition_read.h"
#include "pg_proxy.h"
#include "pgbouncer.h"

enum {
    SOON_MS = 20 * 1000,
};

struct scene {
    struct stage *stage;
    struct pgbouncer *pgbouncer;
    struct peer peer;
    PGconn *stranger; /* behind the pooler too */
};

static void open_scene(struct scene *scene, struct stage *stage, int n_sessions)
{
    *scene = (struct scene){.stage = stage};
    scene->pgbouncer = pgbouncer_start(stage->conninfo, n_sessions, "");
    peer_open(&scene->peer, pgbouncer_conninfo(scene->pgbouncer), NULL);
    scene->stranger = fixture_connect(pgbouncer_conninfo(scene->pgbouncer));
}

static void close_scene(struct scene *scene)
{
    peer_close(&scene->peer);
    PQfinish(scene->stranger);
    pgbouncer_stop(scene->pgbouncer);
}

/* ---- what others left ---- */

static void settings_of_others_do_not_matter(void **state)
{
    struct scene scene;
    struct ending ending;
    struct recipe recipe = {.script = "data.row.value = data.row.value + 1"
                                      " data.row.at = data.row.at data.row.f = data.row.f"
                                      " output.at = data.row.at output.f = data.row.f"
                                      " output.t = data.row.t output.b = data.row.b"};
    char before[256], after[256];
    const char *row = "SELECT (at, f, t, b)::text FROM counter WHERE id = 1";
    open_scene(&scene, *state, 1);
    fixture_exec(scene.stage->conn,
                 "ALTER TABLE counter ADD at timestamptz DEFAULT '2026-03-04 05:06:07.089+00',"
                 " ADD f float8 DEFAULT 0.1 + 0.2, ADD t text DEFAULT U&'\\00e4\\2192',"
                 " ADD b bytea DEFAULT '\\x00ff'");
    fixture_text(scene.stage->conn, row, before, sizeof before);
    struct workflow *workflow = peer_publish(&scene.peer, &recipe);
    char outputs[2][256];
    for (int i = 0; i < 2; i++) {
        ending = peer_run(&scene.peer, workflow, "{\"id\":1}");
        assert_string_equal(ending.reason, "");
        assert_int_equal(ending.status, STATUS_COMPLETED);
        snprintf(outputs[i], sizeof outputs[i], "%s", ending.output);
        fixture_exec(
            scene.stranger,
            "SET datestyle = 'German'; SET intervalstyle = 'iso_8601'; SET timezone = 'Asia/Tokyo';"
            "SET extra_float_digits = 0; SET bytea_output = 'escape'; SET synchronous_commit = off;"
            "SET plan_cache_mode = 'force_custom_plan'; SET application_name = 'latchkey 0 until "
            "0';"
            "SET default_transaction_isolation = 'serializable'; SET lock_timeout = '1ms';"
            "SET default_transaction_read_only = on; SET client_encoding = 'LATIN1';"
            "SET standard_conforming_strings = off; SET idle_in_transaction_session_timeout = 1");
    }
    assert_string_equal(outputs[1], outputs[0]);
    fixture_text(scene.stage->conn, row, after, sizeof after);
    assert_string_equal(after, before);
    assert_int_equal(stage_total(scene.stage), 2);
    close_scene(&scene);
}

/* A statement of one name is another in a session that another host has used: none has one. */
static void nothing_is_prepared_in_their_sessions(void **state)
{
    struct scene scene;
    struct peer other;
    struct recipe recipe = {0};
    open_scene(&scene, *state, 1);
    peer_open_beside(&other, &scene.peer, pgbouncer_conninfo(scene.pgbouncer), NULL);
    struct workflow *here = peer_publish(&scene.peer, &recipe);
    struct workflow *there = peer_publish(&other, &recipe);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(peer_run(&scene.peer, here, "{\"id\":1}").status, STATUS_COMPLETED);
        assert_int_equal(peer_run(&other, there, "{\"id\":1}").status, STATUS_COMPLETED);
    }
    assert_int_equal(fixture_int(scene.stranger, "SELECT count(*) FROM pg_prepared_statements"), 0);
    assert_int_equal(stage_total(scene.stage), 10);
    peer_close(&other);
    close_scene(&scene);
}

/* Alone, one after the other, of one row, that a host beside it writes too: what is remembered of
 * it is never more than what stands there. */
static void one_row_from_ever_other_sessions_is_exact(void **state)
{
    enum { N = 60 };
    struct scene scene;
    struct peer beside;
    struct recipe recipe = {0};
    struct runtime_figures figures;
    open_scene(&scene, *state, 4);
    peer_open_beside(&beside, &scene.peer, scene.stage->conninfo, NULL);
    struct workflow *here = peer_publish(&scene.peer, &recipe);
    struct workflow *there = peer_publish(&beside, &recipe);
    for (int i = 0; i < N; i++) {
        if (i % 10 == 5)
            pgbouncer_command(scene.pgbouncer, "RECONNECT");
        if (i % 3 == 0)
            fixture_exec(scene.stranger, "BEGIN; SELECT 1"); /* keeps the one that was last used */
        struct ending ending = peer_run(&scene.peer, here, "{\"id\":1}");
        assert_string_equal(ending.reason, "");
        assert_int_equal(ending.status, STATUS_COMPLETED);
        if (i % 3 == 0)
            fixture_exec(scene.stranger, "COMMIT");
        if (i % 20 == 0)
            assert_int_equal(peer_run(&beside, there, "{\"id\":1}").status, STATUS_COMPLETED);
    }
    assert_int_equal(stage_total(scene.stage), N + N / 20);
    runtime_read_figures(scene.peer.runtime, &figures);
    assert_int_equal(figures.n_early, 0); /* it could not know that the server is the same */
    peer_close(&beside);
    close_scene(&scene);
}

/* ---- what is left to others ---- */

/* A stranger waits for the only session while the script has it, and so gets it as it was left. */
static void leave_behind(struct scene *scene, const struct recipe *recipe,
                         enum execution_status status)
{
    struct ending ending;
    struct workflow *workflow = peer_publish(&scene->peer, recipe);
    peer_submit(&scene->peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_until_true(&scene->peer, scene->stage->conn,
                         "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                         " AND datname = current_database()",
                         SOON_MS);
    session_send(scene->stranger, "SELECT format('%s %s %s', current_setting('extra_float_digits'),"
                                  " (SELECT count(*) FROM pg_class WHERE relname = 'left_behind'),"
                                  " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                                  "   AND pid = pg_backend_pid()))");
    peer_turn_until(&scene->peer, session_is_done, scene->stranger, SOON_MS);
    PGresult *found = PQgetResult(scene->stranger);
    assert_string_equal(PQgetvalue(found, 0, 0), "1 0 0");
    PQclear(found);
    session_finish(scene->stranger);
    peer_finish(&scene->peer, SOON_MS);
    if (ending.status != status)
        print_error("%s\n", ending.reason);
    assert_int_equal(ending.status, status);
}

static void what_a_scripts_functions_leave_does_not_stay_in_the_session(void **state)
{
    struct scene scene;
    struct recipe ends = {.name = "ends",
                          .script = "sql('select leave() from pg_sleep(0.2)')"
                                    " data.row.value = data.row.value + 1"};
    struct recipe fails = {.name = "fails",
                           .script = "sql('select leave() from pg_sleep(0.2)') error('no')"};
    struct recipe leases = {.name = "leases",
                            .hold = "lease",
                            .script = "sql('select leave(1) from pg_sleep(0.2)')"
                                      " data.row.value = data.row.value + 1"};
    open_scene(&scene, *state, 1);
    fixture_exec(scene.stage->conn,
                 "CREATE FUNCTION leave(n integer DEFAULT 0) RETURNS void LANGUAGE plpgsql AS $$"
                 "BEGIN PERFORM pg_advisory_lock(77), set_config('extra_float_digits', '0', false);"
                 "IF n = 0 THEN CREATE TEMP TABLE left_behind (n integer); END IF; END$$");
    leave_behind(&scene, &ends, STATUS_COMPLETED);
    leave_behind(&scene, &fails, STATUS_FAILED);
    leave_behind(&scene, &leases, STATUS_COMPLETED);
    assert_int_equal(stage_total(scene.stage), 2);
    close_scene(&scene);
}

/* The session's own default is not what the host asked of the pooler. */
static void the_encoding_survives_what_is_taken_back(void **state)
{
    struct scene scene;
    struct stage *stage = *state;
    struct recipe recipe = {.script = "output.t = sql(\"select U&'\\\\2192' as t\")[1].t"};
    char name[128];
    fixture_text(stage->conn, "SELECT current_database()::text", name, sizeof name);
    fixture_execf(stage->conn, "ALTER DATABASE %s SET client_encoding = 'LATIN1'", name);
    open_scene(&scene, stage, 1);
    struct workflow *workflow = peer_publish(&scene.peer, &recipe);
    for (int i = 0; i < 5; i++) {
        struct ending ending = peer_run(&scene.peer, workflow, "{\"id\":1}");
        assert_string_equal(ending.reason, "");
        assert_string_equal(ending.output, "{\"t\": \"\xe2\x86\x92\"}");
    }
    close_scene(&scene);
}

static void nobody_is_made_to_listen(void **state)
{
    struct scene scene;
    struct peer beside;
    struct ending holder, waiter;
    struct fault fault;
    struct recipe holds = {.name = "holds", .hold = "lease", .script = "sleep(0.3)"};
    struct recipe waits = {.name = "waits", .acquire = "60s"};
    open_scene(&scene, *state, 1);
    assert_true(runtime_watch(scene.peer.runtime, NULL, "test", &fault));
    peer_open_beside(&beside, &scene.peer, scene.stage->conninfo, NULL);
    struct workflow *first = peer_publish(&beside, &holds);
    struct workflow *second = peer_publish(&scene.peer, &waits);
    peer_submit(&beside, first, &holder, NULL, "{\"id\":1}");
    peer_turn_until_true(&beside, scene.stage->conn, "SELECT count(*) = 2 FROM latchkey.lease",
                         SOON_MS);
    peer_submit(&scene.peer, second, &waiter, NULL, "{\"id\":1}");
    peer_finish(&scene.peer, SOON_MS); /* it looks by itself */
    peer_finish(&beside, SOON_MS);
    assert_int_equal(waiter.status, STATUS_COMPLETED);
    assert_int_equal(fixture_int(scene.stranger, "SELECT count(*) FROM pg_listening_channels()"),
                     0);
    peer_close(&beside);
    close_scene(&scene);
}

static void changes_of_definitions_are_seen_by_looking(void **state)
{
    if (!long_or(1, 0))
        skip(); /* hosts look every five seconds */
    struct scene scene;
    struct peer beside;
    struct fault fault;
    struct workflow *found;
    struct recipe old = {0}, new = {.script = "data.row.value = 5"};
    open_scene(&scene, *state, 4);
    peer_publish(&scene.peer, &old);
    assert_true(runtime_watch(scene.peer.runtime, NULL, "test", &fault));
    peer_turn_for(&scene.peer, 500);
    peer_open_beside(&beside, &scene.peer, scene.stage->conninfo, NULL);
    peer_publish(&beside, &new);
    for (int i = 0; i < 60; i++) {
        peer_turn_for(&scene.peer, 500);
        assert_true(runtime_find(scene.peer.runtime, "count", &found, &fault));
        if (workflow_version(found) == 2)
            break;
    }
    assert_int_equal(workflow_version(found), 2);
    peer_close(&beside);
    close_scene(&scene);
}

/* ---- sessions that end ---- */

/* A pooler says of every end that the protocol was violated: that is no fault of the execution. */
static void an_execution_whose_session_is_lost_behind_it_is_run_again(void **state)
{
    struct stage *stage = *state;
    struct pg_proxy *proxy;
    struct pgbouncer *pgbouncer;
    struct peer peer;
    struct fault fault;
    struct recipe recipe = {.acquire = "60s",
                            .script = "local n = data.row.value sleep(0.3) data.row.value = n + 1"};
    struct recipe asks = {.name = "asks",
                          .acquire = "60s",
                          .script = "data.row.value = data.row.value + 1"
                                    " sql('select 1 as n from pg_sleep(0.3)')"};
    assert_true(pg_proxy_start(stage->conninfo, &proxy, &fault));
    pgbouncer = pgbouncer_start(pg_proxy_conninfo(proxy), 10, "");
    peer_open(&peer, pgbouncer_conninfo(pgbouncer), NULL);
    struct workflow *workflows[] = {peer_publish(&peer, &recipe), peer_publish(&peer, &asks)};
    for (int i = 0; i < 4; i++) {
        struct ending ending;
        peer_submit(&peer, workflows[i % 2], &ending, NULL, "{\"id\":1}");
        peer_turn_until_held(&peer, stage->conn, "message/1");
        peer_turn_for(&peer, 50);
        if (i < 2)
            pg_proxy_cut(proxy);
        else
            fixture_exec(stage->conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
                                      " application_name LIKE 'latchkey % until %'");
        peer_finish(&peer, SOON_MS);
        assert_string_equal(ending.reason, "");
        assert_int_equal(ending.status, STATUS_COMPLETED);
        assert_true(ending.attempts > 1);
        assert_int_equal(stage_total(stage), i + 1);
    }
    peer_close(&peer);
    pgbouncer_stop(pgbouncer);
    pg_proxy_stop(proxy);
}

/* After the commit too, where what the script left is taken back: that has happened once. */
static void whichever_statement_fails_the_count_is_exact(void **state)
{
    enum { STATEMENTS = 36 };
    struct stage *stage = *state;
    struct pg_proxy *proxy;
    struct peer peer;
    struct fault fault;
    struct recipe recipe = {.acquire = "60s",
                            .script = "sql('select 1 as n') data.row.value = data.row.value + 1"};
    struct pgbouncer *pgbouncer = pgbouncer_start(stage->conninfo, 10, "");
    int n_told_once = 0;
    assert_true(pg_proxy_start(pgbouncer_conninfo(pgbouncer), &proxy, &fault));
    peer_open(&peer, pg_proxy_conninfo(proxy), NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    assert_int_equal(peer_run(&peer, workflow, "{\"id\":1}").status, STATUS_COMPLETED);
    for (int i = 0; i < STATEMENTS; i++) {
        pg_proxy_fail_statement(proxy, "40001", i);
        struct ending ending = peer_run(&peer, workflow, "{\"id\":1}");
        assert_string_equal(ending.reason, "");
        assert_int_equal(ending.status, STATUS_COMPLETED);
        assert_int_equal(stage_total(stage), i + 2);
        n_told_once += pg_proxy_n_struck(proxy) > 0 && ending.attempts == 1;
    }
    assert_true(n_told_once > 0); /* struck after the commit */
    peer_close(&peer);
    pg_proxy_stop(proxy);
    pgbouncer_stop(pgbouncer);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int pooler_session_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(settings_of_others_do_not_matter),
        TEST(nothing_is_prepared_in_their_sessions),
        TEST(one_row_from_ever_other_sessions_is_exact),
        TEST(what_a_scripts_functions_leave_does_not_stay_in_the_session),
        TEST(the_encoding_survives_what_is_taken_back),
        TEST(nobody_is_made_to_listen),
        TEST(changes_of_definitions_are_seen_by_looking),
        TEST(an_execution_whose_session_is_lost_behind_it_is_run_again),
        TEST(whichever_statement_fails_the_count_is_exact),
    };
    if (!pgbouncer_is_installed()) {
        print_message("pooler_session: SKIPPED, because there is no pgbouncer on this machine\n");
        return 0;
    }
    return cmocka_run_group_tests_name("pooler_session", tests, stage_open, stage_close);
}
