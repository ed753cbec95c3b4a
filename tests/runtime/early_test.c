/* Executions by themselves whose script runs before their locks are asked for: what they save is
 * what they would have saved after a load, or they run again. */
#include "early_desk.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"

#define ADD_SLOWLY(waiting) FLOW FLOW_ADD("a", "1", "    waiting-timeout: " waiting "\n")

/* ---- that it happens ---- */

static void the_third_of_a_row_is_early_and_so_are_those_that_follow(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state, ADD);
    for (int i = 0; i < 20; i++)
        early_desk_run_well(&desk);
    assert_int_equal(early_desk_n_early(&desk), 21);
    assert_int_equal(early_desk_n_missed(&desk), 0);
    early_desk_close(&desk, 23, 23);
}

static void a_row_that_was_loaded_long_ago_is_loaded_again(void **state)
{
    struct early_desk desk;
    struct runtime_options options = runtime_fixture_options(*state);
    options.row_memory_us = 2 * 1000 * 1000;
    early_desk_open_with(&desk, state, FLOW_TABLES, ADD, &options);
    fixture_exec(desk.other, "SELECT pg_sleep(2.1)");
    early_desk_run_well(&desk);
    assert_int_equal(early_desk_n_early(&desk), 1);
    early_desk_close(&desk, 4, 4);
}

static void a_row_that_is_saved_now_and_then_is_not_remembered(void **state)
{
    struct early_desk desk = {.fixture = *state};
    struct runtime_options options = runtime_fixture_options(*state);
    options.row_memory_us = 300 * 1000;
    runtime_fixture_tables(desk.fixture, FLOW_TABLES);
    desk.host = host_start(desk.fixture, &options);
    desk.workflow = host_publish(desk.host, ADD);
    desk.other = fixture_connect(desk.fixture->conninfo);
    early_desk_run_well(&desk);
    runtime_fixture_turn(desk.fixture, 350);
    early_desk_run_well(&desk);
    early_desk_run_well(&desk);
    assert_int_equal(early_desk_n_early(&desk), 0);
    early_desk_close(&desk, 3, 3);
}

static void no_memory_for_rows_means_no_early_one(void **state)
{
    struct early_desk desk = {.fixture = *state};
    struct runtime_options options = runtime_fixture_options(*state);
    options.row_memory_us = 0;
    runtime_fixture_tables(desk.fixture, FLOW_TABLES);
    desk.host = host_start(desk.fixture, &options);
    desk.workflow = host_publish(desk.host, ADD);
    desk.other = fixture_connect(desk.fixture->conninfo);
    for (int i = 0; i < 5; i++)
        early_desk_run_well(&desk);
    assert_int_equal(early_desk_n_early(&desk), 0);
    early_desk_close(&desk, 5, 5);
}

static void every_kind_of_value_comes_back_as_it_is(void **state)
{
    struct early_desk desk;
    struct runtime_options options = early_desk_options(state);
    early_desk_open_with(
        &desk, state,
        "CREATE TABLE counter (id integer PRIMARY KEY, n integer NOT NULL, f double precision,"
        " t text, at timestamptz, d date, j jsonb, m numeric(8,2), b bytea, u uuid, nothing text, "
        "e text DEFAULT '',"
        " p text DEFAULT '(a, \"b\") c\\d');"
        "INSERT INTO counter VALUES (1, 0, 0.1, E'a\\'\"\\\\ \\u00e4', '2026-03-29 01:30+00',"
        " '2026-03-29', '{\"a\":[1,null]}', 1.50, '\\x00ff', "
        "'6a1a3f2c-0000-4000-8000-000000000001',"
        " NULL)",
        FLOW FLOW_STEP("a", FLOW_CONTEXT, "",
                       "local r = data.row; output.was = r.n .. tostring(r.f) .. r.t .. r.at .. r.d"
                       " .. r.j.a[1] .. tostring(r.m) .. r.b .. r.u .. tostring(r.nothing);"
                       " r.n = r.n + 1; r.m = r.m + 1"),
        &options);
    for (int i = 3; i < 6; i++) {
        char wanted[300];
        struct outcome outcome = early_desk_run(&desk);
        fixture_text(
            desk.other,
            "SELECT n - 1 || '0.1' || t || to_char(at AT TIME ZONE 'UTC', 'YYYY') FROM counter",
            wanted, sizeof wanted);
        assert_outcome(&outcome, STATUS_COMPLETED, "");
        assert_non_null(strstr(outcome.output, "2026-03-29"));
        assert_non_null(strstr(outcome.output, "\\\\x00ff6a1a3f2c-0000-4000-8000-000000000001nil"));
    }
    assert_int_equal(early_desk_n_early(&desk), 4);
    assert_sql_text(desk.fixture, "SELECT m FROM counter", "7.50");
    early_desk_close(&desk, 6, 6);
}

/* Each is set right for a transaction that loads; what is early leaves them and runs again. The
 * value comes with the execution that would be the first early one: what came before it has the
 * same text in all settings. */
static void a_session_with_other_settings_is_not_early(void **state)
{
    static const struct {
        const char *setting, *type, *value, *wanted;
    } cases[] = {
        {"synchronous_commit = off", "date", "'2026-03-29'", "2026-03-29"},
        {"synchronous_commit = off", "text", "'no setting'", "no setting"},
        {"datestyle = 'German'", "date", "'2026-03-29'", "2026-03-29"},
        {"intervalstyle = 'iso_8601'", "interval", "'1 day'", "1 day"},
        {"extra_float_digits = 0", "double precision", "0.1 + 0.2", "0.30000000000000004"},
        {"bytea_output = 'escape'", "bytea", "'\\\\x00ff'", "x00ff"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char yaml[1000];
        struct early_desk desk = {.fixture = *state};
        struct runtime_options options = early_desk_options(state);
        runtime_fixture_tables(desk.fixture, FLOW_TABLES);
        fixture_execf(desk.fixture->sql, "ALTER TABLE counter ADD v %s", cases[i].type);
        fixture_execf(desk.fixture->sql,
                      "DO $$BEGIN EXECUTE format('ALTER DATABASE %%I SET %%s', current_database(),"
                      " $x$%s$x$); END$$",
                      cases[i].setting);
        desk.host = host_start(desk.fixture, &options);
        snprintf(yaml, sizeof yaml,
                 FLOW FLOW_STEP("a", FLOW_CONTEXT, "",
                                "data.row.n = data.row.n + 1; output.v = data.row.v;"
                                " if data.row.n == 3 then data.row.v = %s end"),
                 cases[i].value);
        desk.workflow = host_publish(desk.host, yaml);
        desk.other = fixture_connect(desk.fixture->conninfo);
        for (int n = 1; n <= 5; n++) {
            struct outcome outcome = early_desk_run(&desk);
            assert_outcome(&outcome, STATUS_COMPLETED, "");
            if (n > 3)
                assert_non_null(strstr(outcome.output, cases[i].wanted));
        }
        assert_int_equal(early_desk_n_early(&desk), 0);
        assert_int_equal(early_desk_n_missed(&desk), 1);
        fixture_exec(desk.fixture->sql, "DO $$BEGIN EXECUTE format('ALTER DATABASE %I RESET ALL',"
                                        " current_database()); END$$");
        early_desk_close(&desk, 5, 5);
    }
}

/* ---- the row is another ---- */

static void change_and_run(void **state, const char *change, int n)
{
    struct early_desk desk;
    early_desk_open(&desk, state, ADD);
    fixture_exec(desk.other, change);
    early_desk_run_well(&desk);
    assert_int_equal(early_desk_n_early(&desk), 1);
    assert_int_equal(early_desk_n_missed(&desk), 1);
    early_desk_close(&desk, 4, n);
}

static void a_row_that_somebody_changed_is_not_overwritten(void **state)
{
    change_and_run(state, "UPDATE counter SET n = n + 100 WHERE id = 1", 104);
}

static void a_row_that_somebody_wrote_without_a_change_is_another(void **state)
{
    change_and_run(state, "UPDATE counter SET n = n WHERE id = 1", 4);
}

static void a_row_that_was_deleted_and_came_back_is_another(void **state)
{
    change_and_run(state, "DELETE FROM counter WHERE id = 1; INSERT INTO counter VALUES (1, 50)",
                   51);
}

/* The versions of rows survive, their places do not. */
static void a_table_that_was_rewritten_has_other_places(void **state)
{
    change_and_run(state, "VACUUM FULL counter", 4);
}

static void a_row_that_is_gone_is_missing(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state, ADD);
    fixture_exec(desk.other, "DELETE FROM counter WHERE id = 1");
    struct outcome outcome = early_desk_run(&desk);
    assert_outcome(&outcome, STATUS_MISSING, "no such row");
    fixture_exec(desk.other, "INSERT INTO counter VALUES (1, 7); SELECT pg_sleep(1.1)");
    early_desk_run_well(&desk); /* it is forgotten: nothing is missed again */
    assert_int_equal(early_desk_n_missed(&desk), 1);
    early_desk_close(&desk, 4, 8);
}

/* The statement that saves stands at the row, which is the one it looks for, until the other ends.
 */
static void a_row_that_changes_while_it_is_waited_for(void **state, const char *end, int n,
                                                      int n_were_early)
{
    struct early_desk desk;
    struct outcome outcome;
    early_desk_open(&desk, state, ADD);
    /* its place and key stay: only the version tells */
    fixture_exec(desk.other, "BEGIN; UPDATE counter SET n = n + 100 WHERE id = 1");
    host_submit(desk.host, desk.workflow, "{\"id\":1}", &outcome);
    early_desk_until_somebody_waits(&desk);
    fixture_exec(desk.other, end);
    runtime_fixture_wait(desk.fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_true(early_desk_n_early(&desk) <= n_were_early);
    early_desk_close(&desk, 4, n);
}

static void a_change_that_is_committed_meanwhile_is_seen(void **state)
{
    a_row_that_changes_while_it_is_waited_for(state, "COMMIT", 104, 1);
}

static void a_change_that_is_undone_meanwhile_is_none(void **state)
{
    a_row_that_changes_while_it_is_waited_for(state, "ROLLBACK", 4, 2);
}

/* ---- the table is another ---- */

static void a_trigger_that_came_meanwhile_counts(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state, ADD);
    fixture_exec(
        desk.other,
        "CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN NEW.n := NEW.n + 10; RETURN NEW; END$$;"
        "CREATE TRIGGER more BEFORE UPDATE ON counter FOR EACH ROW EXECUTE FUNCTION more()");
    for (int i = 0; i < 3; i++)
        early_desk_run_well(&desk);
    early_desk_close(&desk, 6, 36);
}

/* What the save gave back is not the last version of the row. */
static void a_trigger_that_writes_the_row_again_counts(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state, ADD);
    fixture_exec(desk.other,
                 "CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS"
                 " $$BEGIN UPDATE counter SET n = n + 10 WHERE id = NEW.id; RETURN NULL; END$$;"
                 "CREATE TRIGGER more AFTER UPDATE ON counter FOR EACH ROW"
                 " WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION more()");
    for (int i = 0; i < 3; i++)
        early_desk_run_well(&desk);
    early_desk_close(&desk, 6, 36);
}

static void a_column_that_came_meanwhile_is_seen_by_those_that_know_it(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state, ADD);
    fixture_exec(desk.other, "ALTER TABLE counter ADD COLUMN more integer DEFAULT 5");
    early_desk_run_well(&desk);
    fixture_exec(desk.other, "ALTER TABLE counter DROP COLUMN more;"
                             "ALTER TABLE counter ALTER COLUMN n TYPE bigint");
    struct outcome outcome =
        early_desk_run(&desk); /* as ever, its statements have to be prepared again */
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    early_desk_run_well(&desk);
    early_desk_close(&desk, 6, 6);
}

/* ---- locks ---- */

static void a_lock_that_is_held_is_waited_for(void **state)
{
    struct early_desk desk;
    struct outcome outcome;
    early_desk_open(&desk, state, ADD);
    fixture_exec(desk.other, "BEGIN; SELECT latchkey.lock('counter/1')");
    host_submit(desk.host, desk.workflow, "{\"id\":1}", &outcome);
    runtime_fixture_turn(desk.fixture, 300);
    assert_false(outcome.told);
    assert_int_equal(early_desk_n_missed(&desk), 1);
    assert_sql_int(desk.fixture, "SELECT n FROM counter WHERE id = 1", 3);
    fixture_exec(desk.other, "COMMIT");
    runtime_fixture_wait(desk.fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_int_equal(outcome.attempts, 1);
    early_desk_close(&desk, 4, 4);
}

/* Held as a part of more, or as more of it. */
static void a_lock_above_and_one_below_are_in_the_way(void **state)
{
    static const char *const paths[] = {"counter", "counter/1/line"};
    for (int i = 0; i < 2; i++) {
        struct early_desk desk;
        struct outcome outcome;
        early_desk_open(&desk, state, ADD);
        fixture_execf(desk.other, "BEGIN; SELECT latchkey.lock('%s')", paths[i]);
        host_submit(desk.host, desk.workflow, "{\"id\":1}", &outcome);
        runtime_fixture_turn(desk.fixture, 200);
        assert_false(outcome.told);
        fixture_exec(desk.other, "COMMIT");
        runtime_fixture_wait(desk.fixture);
        assert_outcome(&outcome, STATUS_COMPLETED, "");
        early_desk_close(&desk, 4, 4);
    }
}

static void a_lease_is_waited_for(void **state)
{
    struct early_desk desk;
    struct outcome outcome;
    early_desk_open(&desk, state, ADD);
    fixture_exec(desk.other, "INSERT INTO latchkey.lease (path, token, holder, process, instance, "
                             "workflow, activity, expires_at)"
                             " SELECT 'counter/1', 1, gen_random_uuid(), gen_random_uuid(), "
                             "gen_random_uuid(), 'flow', 'a',"
                             " clock_timestamp() + interval '1 hour'");
    host_submit(desk.host, desk.workflow, "{\"id\":1}", &outcome);
    runtime_fixture_turn(desk.fixture, 300);
    assert_false(outcome.told);
    assert_int_equal(early_desk_n_missed(&desk), 1);
    fixture_exec(desk.other, "DELETE FROM latchkey.lease");
    runtime_fixture_wait(desk.fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    early_desk_close(&desk, 4, 4);
}

/* Two hosts at one row, each by itself: none of their increments is lost. */
static void two_hosts_take_turns(void **state)
{
    enum { ROUNDS = 60 };
    struct early_desk desk;
    struct outcome outcomes[2];
    early_desk_open(&desk, state, ADD);
    struct runtime_options options = early_desk_options(state);
    struct host *second = host_start(desk.fixture, &options);
    struct workflow *workflow = host_publish(second, ADD);
    for (int i = 0; i < ROUNDS; i++) {
        host_submit(desk.host, desk.workflow, "{\"id\":1}", &outcomes[0]);
        if (i % 3)
            runtime_fixture_wait(desk.fixture);
        host_submit(second, workflow, "{\"id\":1}", &outcomes[1]);
        runtime_fixture_wait(desk.fixture);
        assert_outcome(&outcomes[0], STATUS_COMPLETED, "");
        assert_outcome(&outcomes[1], STATUS_COMPLETED, "");
    }
    host_stop(second);
    early_desk_close(&desk, 3 + 2 * ROUNDS, 3 + 2 * ROUNDS);
}

/* ---- time ---- */

/* No statement takes too long, all of them together do. */
static void who_is_late_does_not_commit(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state, ADD_SLOWLY("900ms"));
    fixture_exec(desk.other,
                 "CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS"
                 " $$BEGIN PERFORM pg_sleep(0.6); RETURN NEW; END$$;"
                 "CREATE TRIGGER slow BEFORE INSERT ON latchkey.execution FOR EACH ROW"
                 " WHEN (NEW.status = 'completed') EXECUTE FUNCTION public.slow();"
                 "CREATE CONSTRAINT TRIGGER later AFTER INSERT ON latchkey.instance"
                 " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.slow()");
    struct outcome outcome = early_desk_run(&desk);
    bool session_ends = PQserverVersion(desk.other) >= 170000; /* by transaction_timeout */
    assert_outcome(&outcome, STATUS_EXPIRED, "waiting timeout");
    assert_int_equal(early_desk_n_early(&desk), 1);
    assert_int_equal(early_desk_n_missed(&desk), session_ends ? 0 : 1);
    fixture_exec(desk.other, "DROP FUNCTION public.slow() CASCADE");
    early_desk_close(&desk, 3, 3);
}

/* ---- scripts ---- */

static void fail_three_times(struct early_desk *desk)
{
    struct outcome outcome = early_desk_run(desk);
    assert_outcome(&outcome, STATUS_FAILED, "enough");
    assert_int_equal(outcome.attempts, 3);
}

static void a_script_that_raises_has_all_its_retries(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state,
                    FLOW FLOW_STEP("a", FLOW_CONTEXT, "    retries: 2\n",
                                   "if data.row.n >= 3 then error('enough') end;"
                                   " data.row.n = data.row.n + 1"));
    fail_three_times(&desk);
    assert_int_equal(early_desk_n_missed(&desk), 1);
    early_desk_close(&desk, 3, 3);
}

/* Its script ends well, and what it leaves is refused. */
static void what_cannot_be_told_has_all_its_retries(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state,
                    FLOW FLOW_STEP("a", FLOW_CONTEXT, "    retries: 2\n",
                                   "if data.row.n >= 3 then output.enough = function() end end;"
                                   " data.row.n = data.row.n + 1"));
    fail_three_times(&desk);
    assert_int_equal(early_desk_n_missed(&desk), 1);
    early_desk_close(&desk, 3, 3);
}

static void a_guard_decides_by_what_stands(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state,
                    FLOW FLOW_ADD("a", "1", "    guard: data.row.n < 3 or data.row.n > 100\n"));
    fixture_exec(desk.other, "UPDATE counter SET n = 200 WHERE id = 1");
    early_desk_run_well(&desk); /* what is remembered says no */
    fixture_exec(desk.other, "UPDATE counter SET n = 50 WHERE id = 1");
    struct outcome outcome = early_desk_run(&desk);
    assert_outcome(&outcome, STATUS_BLOCKED, "");
    early_desk_close(&desk, 4, 50);
}

#define SOMETIMES(what)                                                                            \
    FLOW FLOW_STEP("a", FLOW_CONTEXT, "",                                                          \
                   "data.row.n = data.row.n + 1; if data.row.n > 3 then " what " end")

static void scripts_that_want_more_run_after_their_lock(void **state)
{
    static const char *const yamls[] = {
        SOMETIMES("sql('UPDATE counter SET n = n + 10 WHERE id = 2')"),
        SOMETIMES("sleep(0.01)"),
        SOMETIMES("local o = objects.load('counter', {id = 2}); o.n = o.n + 10"),
        SOMETIMES("for i = 1, 3e6 do local x = i end"),
    };
    for (int i = 0; i < 4; i++) {
        struct early_desk desk;
        early_desk_open(&desk, state, yamls[i]);
        struct outcome outcome = early_desk_run(&desk);
        assert_outcome(&outcome, STATUS_COMPLETED, "");
        assert_int_equal(early_desk_n_early(&desk), 1);
        assert_int_equal(early_desk_n_missed(&desk), 1);
        assert_sql_int(desk.fixture, "SELECT n FROM counter WHERE id = 2",
                       i == 0 || i == 2 ? 10 : 0);
        early_desk_close(&desk, 4, 4);
    }
}

static void what_a_script_logs_is_told_once(void **state)
{
    struct early_desk desk;
    int n = 0;
    early_desk_open(&desk, state,
                    FLOW FLOW_STEP("a", FLOW_CONTEXT, "",
                                   "data.row.n = data.row.n + 1; if data.row.n > 3 then"
                                   " log.warn('number ' .. data.row.n) end"));
    fixture_exec(desk.other, "UPDATE counter SET n = n + 100 WHERE id = 1");
    early_desk_run_well(&desk);
    assert_int_equal(early_desk_n_missed(&desk), 1);
    for (const char *at = host_log(desk.host); (at = strstr(at, "number ")); at++)
        n++;
    assert_int_equal(n, 1);
    assert_non_null(strstr(host_log(desk.host), "number 104"));
    early_desk_close(&desk, 4, 104);
}

/* ---- the connection ---- */

/* What another server gave is no version of this one's. */
static void a_new_connection_remembers_nothing(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state, ADD);
    fixture_exec(desk.other,
                 "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name"
                 " LIKE 'latchkey %'");
    runtime_fixture_turn(desk.fixture, 100);
    early_desk_run_well(&desk);
    assert_int_equal(early_desk_n_early(&desk), 1);
    assert_int_equal(early_desk_n_missed(&desk), 0);
    early_desk_close(&desk, 4, 4);
}

/* An activity that misses leaves it for a while; others go on. */
static void who_misses_pauses(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state, ADD);
    for (int i = 0; i < 4; i++) {
        fixture_exec(desk.other, "UPDATE counter SET n = n + 1 WHERE id = 1");
        early_desk_run_well(&desk);
    }
    assert_int_equal(early_desk_n_missed(&desk), 1);
    early_desk_close(&desk, 7, 11);
}

/* Somebody changes the row again and again, until so many have missed or the time is over. Returns
 * when the last round began. */
static int64_t change_and_run_until(struct early_desk *desk, int n_missed, int64_t until_us)
{
    int64_t now_us;
    do {
        runtime_fixture_turn(desk->fixture, 20);
        now_us = clock_monotonic_us();
        fixture_exec(desk->other, "UPDATE counter SET n = n WHERE id = 1");
        early_desk_run_well(desk);
    } while (early_desk_n_missed(desk) < n_missed && clock_monotonic_us() < until_us);
    return now_us;
}

/* A second after the first miss, and two after the next. */
static void the_pause_grows(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state, ADD);
    change_and_run_until(&desk, 1, INT64_MAX);
    int64_t until_us = change_and_run_until(&desk, 2, INT64_MAX) + 2 * 1000 * 1000;
    change_and_run_until(&desk, 3, until_us - 200 * 1000);
    assert_true(early_desk_n_missed(&desk) == 2 || clock_monotonic_us() >= until_us);
    int n = (int)fixture_int(desk.other, "SELECT n FROM counter WHERE id = 1");
    early_desk_close(&desk, n, n);
}

int early_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_third_of_a_row_is_early_and_so_are_those_that_follow),
        cmocka_unit_test(a_row_that_was_loaded_long_ago_is_loaded_again),
        cmocka_unit_test(a_row_that_is_saved_now_and_then_is_not_remembered),
        cmocka_unit_test(no_memory_for_rows_means_no_early_one),
        cmocka_unit_test(every_kind_of_value_comes_back_as_it_is),
        cmocka_unit_test(a_session_with_other_settings_is_not_early),
        cmocka_unit_test(a_row_that_somebody_changed_is_not_overwritten),
        cmocka_unit_test(a_row_that_somebody_wrote_without_a_change_is_another),
        cmocka_unit_test(a_row_that_was_deleted_and_came_back_is_another),
        cmocka_unit_test(a_table_that_was_rewritten_has_other_places),
        cmocka_unit_test(a_row_that_is_gone_is_missing),
        cmocka_unit_test(a_change_that_is_committed_meanwhile_is_seen),
        cmocka_unit_test(a_change_that_is_undone_meanwhile_is_none),
        cmocka_unit_test(a_trigger_that_came_meanwhile_counts),
        cmocka_unit_test(a_trigger_that_writes_the_row_again_counts),
        cmocka_unit_test(a_column_that_came_meanwhile_is_seen_by_those_that_know_it),
        cmocka_unit_test(a_lock_that_is_held_is_waited_for),
        cmocka_unit_test(a_lock_above_and_one_below_are_in_the_way),
        cmocka_unit_test(a_lease_is_waited_for),
        cmocka_unit_test(two_hosts_take_turns),
        cmocka_unit_test(who_is_late_does_not_commit),
        cmocka_unit_test(a_script_that_raises_has_all_its_retries),
        cmocka_unit_test(what_cannot_be_told_has_all_its_retries),
        cmocka_unit_test(a_guard_decides_by_what_stands),
        cmocka_unit_test(scripts_that_want_more_run_after_their_lock),
        cmocka_unit_test(what_a_script_logs_is_told_once),
        cmocka_unit_test(a_new_connection_remembers_nothing),
        cmocka_unit_test(who_misses_pauses),
        cmocka_unit_test(the_pause_grows),
    };
    return cmocka_run_group_tests_name("early", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
