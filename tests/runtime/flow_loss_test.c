/*
 * Connections that are lost around the commits of whole workflows: activities in a row, chains,
 * keyed runs, jobs, events. Nothing runs twice, nothing is told wrongly, nothing is left lying.
 */
#include "flow_text.h"
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "pg_proxy.h"

static const char tables[] = FLOW_TABLES;

#define SHORT "    waiting-timeout: 300ms\n    acquire-timeout: 300ms\n"

#define THREE                                                                                      \
    FLOW FLOW_ADD("a", "1", FLOW_TO("b")) FLOW_ADD("b", "10", FLOW_TO("c")) FLOW_ADD("c", "100", "")
#define CHAIN                                                                                      \
    FLOW FLOW_ADD("a", "1", FLOW_OFF FLOW_TO("b")) FLOW_ADD("b", "10", FLOW_OFF FLOW_TO("c"))      \
        FLOW_ADD("c", "100", "")
#define EVENT                                                                                      \
    FLOW FLOW_ADD("a", "1", FLOW_TO("b")) FLOW_ADD("b", "10", "    wait-for: go\n" FLOW_TO("c"))   \
        FLOW_ADD("c", "100", "")

struct scene {
    struct runtime_fixture *fixture;
    struct pg_proxy *proxy;
    struct host *host;
    struct workflow *workflow;
};

/* A host that reaches its database through the proxy, and is warm. */
static void open_scene_with(struct scene *scene, void **state, const char *yaml,
                            int64_t ownership_us)
{
    struct fault fault;
    struct outcome outcome;
    *scene = (struct scene){.fixture = *state};
    runtime_fixture_tables(scene->fixture, tables);
    struct runtime_options options = runtime_fixture_options(scene->fixture);
    assert_true(pg_proxy_start(options.conninfo, &scene->proxy, &fault));
    options.conninfo = pg_proxy_conninfo(scene->proxy);
    options.ownership_us = ownership_us;
    options.look_up_us = 500 * 1000;
    scene->host = host_start(scene->fixture, &options);
    scene->workflow = host_publish(scene->host, yaml);
    host_submit(scene->host, scene->workflow, "{\"id\":10}", &outcome);
    runtime_fixture_wait(scene->fixture);
    assert_true(outcome.status == STATUS_COMPLETED || outcome.status == STATUS_IDLE);
    fixture_exec(scene->fixture->sql, "TRUNCATE latchkey.execution, latchkey.instance, "
                                      "latchkey.commit_mark; UPDATE counter SET n = 0");
}

static void open_scene(struct scene *scene, void **state, const char *yaml)
{
    open_scene_with(scene, state, yaml, 1000 * 1000);
}

static void close_scene(struct scene *scene)
{
    assert_nothing_held(scene->fixture);
    host_stop(scene->host);
    pg_proxy_stop(scene->proxy);
}

static const enum pg_proxy_strike cuts[] = {PG_PROXY_CUT_BEFORE_COMMIT, PG_PROXY_CUT_AFTER_COMMIT};

enum {
    N_CUTS = sizeof cuts / sizeof *cuts,
};

static bool wait_struck(struct scene *scene)
{
    for (int i = 0; i < 500 && !pg_proxy_n_struck(scene->proxy); i++)
        runtime_fixture_turn(scene->fixture, 10);
    return pg_proxy_n_struck(scene->proxy) > 0;
}

/* ---- lost answers that can be looked up ---- */

/* Each of a run's commits is cut once, before and after. */
static void cut_each_commit(void **state, const char *yaml, int n_commits, int n_rows,
                            const char *key)
{
    for (int i = 0; i < N_CUTS * n_commits; i++) {
        struct scene scene;
        struct outcome outcome, again;
        open_scene(&scene, state, yaml);
        pg_proxy_strike(scene.proxy, cuts[i % N_CUTS], i / N_CUTS, 1);
        host_submit_keyed(scene.host, scene.workflow, "{\"id\":1}", key, &outcome);
        runtime_fixture_wait(scene.fixture);
        assert_int_equal(pg_proxy_n_struck(scene.proxy), 1);
        assert_outcome(&outcome, STATUS_COMPLETED, "");
        assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 111);
        assert_sql_int(*state, "SELECT count(*) FROM latchkey.execution", n_rows);
        assert_sql_text(*state,
                        "SELECT concat_ws(' ', activity, status, steps) "
                        "FROM latchkey.instance",
                        "c completed 3");
        if (key) {
            host_submit_keyed(scene.host, scene.workflow, "{\"id\":1}", key, &again);
            runtime_fixture_wait(scene.fixture);
            assert_outcome(&again, STATUS_COMPLETED, "");
            assert_true(again.replayed);
            assert_string_equal(again.id, outcome.id);
            assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 111);
        }
        close_scene(&scene);
    }
}

static void activities_in_a_row_run_once_each(void **state)
{
    cut_each_commit(state, THREE, 3, 3, NULL);
}

static void a_chain_runs_once(void **state)
{
    cut_each_commit(state, CHAIN, 1, 3, NULL);
}

static void a_keyed_run_is_recorded_once(void **state)
{
    cut_each_commit(state, THREE, 3, 3, "k");
    cut_each_commit(state, CHAIN, 1, 3, "k");
}

static void a_job_is_done_once(void **state)
{
    for (int i = 0; i < N_CUTS * 3; i++) {
        struct scene scene;
        struct outcome outcome;
        open_scene(&scene, state, THREE);
        host_enqueue(scene.host, scene.workflow, "{\"id\":1}", 0, &outcome);
        runtime_fixture_wait(scene.fixture);
        assert_outcome(&outcome, STATUS_QUEUED, "");
        pg_proxy_strike(scene.proxy, cuts[i % N_CUTS], i / N_CUTS, 1);
        host_work(scene.host);
        assert_true(wait_struck(&scene));
        runtime_fixture_turn(scene.fixture, 500);
        /* perhaps it was the answer to a claim: then that runs out */
        fixture_exec(scene.fixture->sql,
                     "UPDATE latchkey.job SET claimed_until = clock_timestamp()");
        runtime_fixture_until(
            *state, "SELECT count(*) FROM latchkey.instance WHERE status = 'completed'", 1);
        assert_sql_int(*state, "SELECT count(*) FROM latchkey.job", 0);
        assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 111);
        assert_sql_int(*state, "SELECT count(*) FROM latchkey.execution", 3);
        close_scene(&scene);
    }
}

static void an_event_is_delivered_once(void **state)
{
    for (int i = 0; i < N_CUTS * 2; i++) {
        struct scene scene;
        struct outcome outcome, told;
        open_scene(&scene, state, EVENT);
        host_submit(scene.host, scene.workflow, "{\"id\":1}", &outcome);
        runtime_fixture_wait(scene.fixture);
        assert_outcome(&outcome, STATUS_IDLE, "");
        pg_proxy_strike(scene.proxy, cuts[i % N_CUTS], i / N_CUTS, 1);
        host_deliver(scene.host, outcome.id, "go", NULL, &told);
        runtime_fixture_wait(scene.fixture);
        assert_int_equal(pg_proxy_n_struck(scene.proxy), 1);
        assert_outcome(&told, STATUS_COMPLETED, "");
        assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 111);
        host_deliver(scene.host, outcome.id, "go", NULL, &told);
        runtime_fixture_wait(scene.fixture);
        assert_outcome(&told, STATUS_BLOCKED, "it is completed");
        close_scene(&scene);
    }
}

/* Whichever message of the server is the last: who is told `queued` has a job, who is told `failed`
 * has none. */
static void what_is_told_of_a_queueing_is_true(void **state)
{
    struct scene scene;
    struct outcome outcome;
    open_scene(&scene, state, THREE);
    for (int skip = 0; skip < 14; skip++) {
        pg_proxy_strike(scene.proxy, PG_PROXY_CUT_BEFORE_ANSWER, skip, 1);
        host_enqueue(scene.host, scene.workflow, "{\"id\":1}", 0, &outcome);
        runtime_fixture_wait(scene.fixture);
        assert_true(outcome.status == STATUS_QUEUED || outcome.status == STATUS_FAILED);
        if (fixture_int(scene.fixture->sql, "SELECT count(*) FROM latchkey.job") !=
            (outcome.status == STATUS_QUEUED))
            fail_msg("cut %d: told %s", skip, execution_status_row(outcome.status)->name);
        fixture_exec(scene.fixture->sql, "TRUNCATE latchkey.job");
    }
    close_scene(&scene);
}

/* ---- pooled connections that are broken ---- */

static void break_connections(struct scene *scene)
{
    runtime_fixture_turn(scene->fixture, 50);
    fixture_exec(scene->fixture->sql,
                 "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
                 "current_database() AND application_name LIKE 'latchkey%'");
}

/* The database was restarted, say: the next use of each old connection fails. */
static void what_only_reads_is_asked_again(void **state)
{
    struct scene scene;
    struct outcome outcome, told;
    open_scene(&scene, state, EVENT);
    host_submit(scene.host, scene.workflow, "{\"id\":1}", &outcome);
    runtime_fixture_wait(scene.fixture);
    pg_proxy_strike(scene.proxy, PG_PROXY_CUT_BEFORE_SYNC, 0, 1);
    break_connections(&scene);
    host_deliver(scene.host, outcome.id, "go", NULL, &told);
    runtime_fixture_wait(scene.fixture);
    assert_outcome(&told, STATUS_COMPLETED, "");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 111);
    close_scene(&scene);
}

static void a_look_before_the_lock_is_repeated(void **state)
{
    struct scene scene;
    struct outcome outcome;
    open_scene(&scene, state,
               FLOW "  a:\n"
                    "    enable-exclusive-lock: true\n"
                    "    lock-context: '{\"counter\", data.row.id}'\n"
                    "    script: data.row.n = data.row.n + 1\n");
    pg_proxy_strike(scene.proxy, PG_PROXY_CUT_BEFORE_SYNC, 0, 1);
    break_connections(&scene);
    host_submit(scene.host, scene.workflow, "{\"id\":1}", &outcome);
    runtime_fixture_wait(scene.fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 1);
    close_scene(&scene);
}

/* ---- lost answers that nobody gives ---- */

#define THREE_SHORT                                                                                \
    FLOW FLOW_ADD("a", "1", SHORT FLOW_TO("b")) FLOW_ADD("b", "10", SHORT FLOW_TO("c"))            \
        FLOW_ADD("c", "100", SHORT)

/* The caller was told `unknown`; the host lives, and finds that nobody has the instance at hand. */
static void an_unknown_instance_is_gone_on_with(void **state)
{
    for (int i = 0; i < N_CUTS * 2; i++) {
        struct scene scene;
        struct outcome outcome;
        open_scene(&scene, state, THREE_SHORT);
        /* the look-ups' commits too: nobody learns anything */
        pg_proxy_strike(scene.proxy, cuts[i % N_CUTS], i / N_CUTS, 10000);
        host_submit(scene.host, scene.workflow, "{\"id\":1}", &outcome);
        assert_true(wait_struck(&scene));
        pg_proxy_set_away(scene.proxy, true);
        pg_proxy_cut(scene.proxy);
        runtime_fixture_wait(scene.fixture);
        assert_outcome(&outcome, STATUS_UNKNOWN, "");
        pg_proxy_strike(scene.proxy, cuts[i % N_CUTS], 0, 0);
        pg_proxy_set_away(scene.proxy, false);
        host_work(scene.host);
        if (i == 0) { /* the very first commit that never came: there is no instance */
            runtime_fixture_turn(scene.fixture, 1500);
            assert_sql_int(*state, "SELECT count(*) FROM latchkey.instance", 0);
            assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 0);
        } else {
            runtime_fixture_until(
                *state, "SELECT count(*) FROM latchkey.instance WHERE status = 'completed'", 1);
            assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 111);
        }
        close_scene(&scene);
    }
}

/* The answer to its commit is lost and nobody can be asked. The host is not silent for long enough
 * to lose the job, and its claim stands for a minute: it is found by its row all the same. */
static void a_job_that_ended_unknown_is_taken_up_at_once(void **state)
{
    for (int i = 0; i < N_CUTS; i++) {
        struct scene scene;
        struct outcome outcome;
        struct fault fault;
        struct background_options options = runtime_default_background();
        options.jobs_max = options.jobs_fast_max = 1; /* no claims while it runs */
        options.care_us = INT64_MAX;
        open_scene_with(&scene, state, FLOW FLOW_ADD("a", "1", SHORT), 30 * 1000 * 1000);
        host_enqueue(scene.host, scene.workflow, "{\"id\":1}", 0, &outcome);
        runtime_fixture_wait(scene.fixture);
        /* the claim's commit passes; its own does not, nor do those of look-ups */
        pg_proxy_strike(scene.proxy, cuts[i], 1, 10000);
        assert_true(runtime_work(host_runtime(scene.host), &options, &fault));
        assert_true(wait_struck(&scene));
        pg_proxy_set_away(scene.proxy, true);
        pg_proxy_cut(scene.proxy);
        runtime_fixture_turn(scene.fixture, 2000);
        assert_sql_int(*state, "SELECT count(*) FROM latchkey.job",
                       cuts[i] == PG_PROXY_CUT_BEFORE_COMMIT);
        pg_proxy_strike(scene.proxy, cuts[i], 0, 0);
        pg_proxy_set_away(scene.proxy, false);
        runtime_fixture_until(*state, "SELECT count(*) FROM latchkey.job", 0);
        runtime_fixture_turn(scene.fixture, 500);
        assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 1);
        assert_sql_int(*state, "SELECT count(*) FROM latchkey.execution", 1);
        close_scene(&scene);
    }
}

/* What runs here is not taken for forgotten, however long it takes. */
static void what_runs_is_not_gone_on_with_twice(void **state)
{
    struct scene scene;
    struct outcome outcomes[2];
    open_scene(&scene, state,
               FLOW FLOW_ADD("a", "1",
                             FLOW_TO("b")) "  b:\n    script: sleep(4) data.row.n = data.row.n + "
                                           "10\n" FLOW_TO("c") FLOW_ADD("c", "100", ""));
    host_work(scene.host);
    host_submit(scene.host, scene.workflow, "{\"id\":1}", &outcomes[0]);
    host_submit(scene.host, scene.workflow, "{\"id\":2}", &outcomes[1]);
    runtime_fixture_wait(scene.fixture);
    for (int i = 0; i < 2; i++) {
        assert_outcome(&outcomes[i], STATUS_COMPLETED, "");
        assert_int_equal(outcomes[i].attempts, 1);
    }
    assert_sql_int(*state, "SELECT sum(n) FROM counter", 222);
    assert_sql_int(*state, "SELECT max(state_version) FROM latchkey.instance", 3);
    close_scene(&scene);
}

/* The database goes away while the end of a run is written: the instance is not left running. */
static void an_end_that_was_not_written_is_written_later(void **state)
{
    struct scene scene;
    struct outcome outcome;
    open_scene(
        &scene, state,
        FLOW FLOW_ADD("a", "1", FLOW_TO("b")) "  b: {guard: data.row.id ~= 1, script: ''}\n");
    PGconn *other = fixture_connect(scene.fixture->conninfo);
    fixture_exec(other, "CREATE FUNCTION no_history() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                        "IF NEW.status = 'blocked' THEN PERFORM pg_advisory_xact_lock(77); END IF; "
                        "RETURN NEW; END $$;"
                        "CREATE TRIGGER t BEFORE INSERT ON latchkey.execution FOR EACH ROW EXECUTE "
                        "FUNCTION no_history()");
    fixture_exec(other, "BEGIN; SELECT pg_advisory_xact_lock(77)");
    host_submit(scene.host, scene.workflow, "{\"id\":1}", &outcome);
    runtime_fixture_until(*state, "SELECT count(*) FROM pg_locks WHERE NOT granted AND objid = 77",
                          1);
    pg_proxy_set_away(scene.proxy, true);
    pg_proxy_cut(scene.proxy);
    fixture_exec(scene.fixture->sql, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT "
                                     "granted AND objid = 77");
    runtime_fixture_turn(scene.fixture, 100);
    fixture_exec(other, "COMMIT");
    pg_proxy_set_away(scene.proxy, false);
    runtime_fixture_wait(scene.fixture);
    assert_outcome(&outcome, STATUS_BLOCKED, "the guard said no");
    assert_sql_text(*state, "SELECT concat_ws(' ', status, reason, process) FROM latchkey.instance",
                    "blocked the guard said no");
    fixture_exec(other, "DROP FUNCTION no_history CASCADE");
    PQfinish(other);
    close_scene(&scene);
}

int flow_loss_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activities_in_a_row_run_once_each),
        cmocka_unit_test(a_chain_runs_once),
        cmocka_unit_test(a_keyed_run_is_recorded_once),
        cmocka_unit_test(a_job_is_done_once),
        cmocka_unit_test(an_event_is_delivered_once),
        cmocka_unit_test(what_is_told_of_a_queueing_is_true),
        cmocka_unit_test(what_only_reads_is_asked_again),
        cmocka_unit_test(a_look_before_the_lock_is_repeated),
        cmocka_unit_test(an_unknown_instance_is_gone_on_with),
        cmocka_unit_test(a_job_that_ended_unknown_is_taken_up_at_once),
        cmocka_unit_test(what_runs_is_not_gone_on_with_twice),
        cmocka_unit_test(an_end_that_was_not_written_is_written_later),
    };
    return cmocka_run_group_tests_name("flow_loss", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
