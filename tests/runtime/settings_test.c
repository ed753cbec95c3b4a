/* Defaults of the server or the database do not break what latchkey promises. */
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "peer.h"

static void set_default(struct stage *stage, const char *setting)
{
    char name[128];
    fixture_text(stage->conn, "SELECT current_database()::text", name, sizeof name);
    fixture_execf(stage->conn, "ALTER DATABASE %s SET %s", name, setting);
}

/* Another host saves while this one waits for the lock: an old snapshot would lose its work. */
static void repeatable_read_as_the_default_loses_no_update(void **state)
{
    struct stage *stage = *state;
    struct peer one, other;
    struct ending first, second;
    struct recipe recipe = {.script = "local seen = data.row.value sleep(0.2)"
                                      " data.row.value = seen + 1 output.attempts = seen"};
    set_default(stage, "default_transaction_isolation = 'repeatable read'");
    peer_open(&one, stage->conninfo, NULL);
    peer_open_beside(&other, &one, stage->conninfo, NULL);
    struct workflow *here = peer_publish(&one, &recipe), *there = peer_publish(&other, &recipe);
    peer_submit(&one, here, &first, NULL, "{\"id\":1}");
    peer_turn_until_held(&one, stage->conn, "message/1");
    peer_submit(&other, there, &second, NULL, "{\"id\":1}");
    peer_finish(&one, 10 * 1000);
    peer_finish(&other, 10 * 1000);
    assert_int_equal(first.status, STATUS_COMPLETED);
    assert_int_equal(second.status, STATUS_COMPLETED);
    assert_int_equal(second.attempts, 1); /* its version was right at once */
    assert_int_equal(stage_total(stage), 2);
    peer_close(&other);
    peer_close(&one);
}

static void a_short_statement_timeout_does_not_cut_the_work(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    struct recipe recipe = {.script = "sql(\"select 1 as n from pg_sleep(0.4)\")"
                                      " data.row.value = data.row.value + 1"};
    set_default(stage, "statement_timeout = '150ms'");
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    fixture_exec(stage->conn, "BEGIN; SELECT latchkey.lock('message/1')");
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_for(&peer, 600);
    fixture_exec(stage->conn, "COMMIT");
    peer_finish(&peer, 10 * 1000);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_int_equal(ending.attempts, 1);
    assert_int_equal(stage_total(stage), 1);
    peer_close(&peer);
}

static void a_short_lock_timeout_does_not_cut_the_waits(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct ending ending;
    struct recipe recipe = {0};
    set_default(stage, "lock_timeout = '20ms'");
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    fixture_exec(stage->conn, "BEGIN; SELECT latchkey.lock('message/1')");
    peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
    peer_turn_for(&peer, 400);
    fixture_exec(stage->conn, "COMMIT; BEGIN; SELECT * FROM counter WHERE id = 1 FOR UPDATE");
    peer_turn_for(&peer, 400); /* now the row is locked by somebody */
    assert_int_equal(ending.n_told, 0);
    fixture_exec(stage->conn, "COMMIT");
    peer_finish(&peer, 10 * 1000);
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_in_range(ending.attempts, 1, 2); /* the second by itself */
    peer_close(&peer);
}

#define NONE_BUT_US "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()"

/* A wait for a lock, one for a row, and one for a row by an execution whose script ran before. */
static void a_short_transaction_timeout_does_not_cut_the_waits(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe recipe = {0};
    static const char ended[] = "SELECT sessions_fatal + sessions_killed FROM pg_stat_database"
                                " WHERE datname = current_database()";
    if (PQserverVersion(stage->conn) < 170000)
        skip();
    set_default(stage, "transaction_timeout = '700ms'");
    fixture_exec(stage->conn, "SET transaction_timeout = 0");
    int64_t n_ended = fixture_int(stage->conn, ended);
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    static const char *const holds[] = {"SELECT latchkey.lock('message/1')",
                                        "SELECT * FROM counter WHERE id = 1 FOR UPDATE"};
    for (int i = 0; i < 8; i++) {
        struct ending ending;
        fixture_execf(stage->conn, "BEGIN; %s", holds[i == 0 ? 0 : 1]);
        peer_submit(&peer, workflow, &ending, NULL, "{\"id\":1}");
        peer_turn_for(&peer, i == 0 || i == 7 ? 1200 : 0);
        fixture_exec(stage->conn, "COMMIT");
        peer_finish(&peer, 10 * 1000);
        assert_int_equal(ending.status, STATUS_COMPLETED);
        assert_true(i > 0 || ending.attempts == 1);
    }
    assert_int_equal(stage_total(stage), 8);
    peer_close(&peer); /* what its sessions count is told when they end */
    fixture_eventually_true(stage->conn, NONE_BUT_US, 10 * 1000);
    assert_int_equal(fixture_int(stage->conn, ended), n_ended);
}

static void short_idle_limits_do_not_end_a_holder_or_the_host(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe recipe = {.script = "data.row.value = data.row.value + 1 sleep(0.5)"};
    set_default(stage, "idle_in_transaction_session_timeout = '100ms'");
    set_default(stage, "idle_session_timeout = '100ms'");
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    for (int i = 0; i < 3; i++) {
        struct ending ending = peer_run(&peer, workflow, "{\"id\":1}");
        assert_int_equal(ending.status, STATUS_COMPLETED);
        assert_int_equal(ending.attempts, 1);
        peer_turn_for(&peer, 200);
    }
    assert_int_equal(stage_total(stage), 3);
    peer_close(&peer);
}

static void read_only_as_the_default_does_not_stop_the_work(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe recipe = {0};
    set_default(stage, "default_transaction_read_only = on");
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &recipe);
    assert_int_equal(peer_run(&peer, workflow, "{\"id\":1}").status, STATUS_COMPLETED);
    assert_int_equal(stage_total(stage), 1);
    peer_close(&peer);
}

/* What the script sees of a setting inside its transaction. */
static void see_setting(struct stage *stage, const char *setting, const char *seen)
{
    struct peer peer;
    struct recipe recipe = {
        .script = "output.s = sql(\"select current_setting('synchronous_commit') as s\")[1].s"};
    char expected[64];
    set_default(stage, setting);
    snprintf(expected, sizeof expected, "{\"s\": \"%s\"}", seen);
    peer_open(&peer, stage->conninfo, NULL);
    struct ending ending = peer_run(&peer, peer_publish(&peer, &recipe), "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_string_equal(ending.output, expected);
    peer_close(&peer);
}

static void synchronous_commit_off_is_raised(void **state)
{
    see_setting(*state, "synchronous_commit = off", "on");
}

static void a_stronger_synchronous_commit_is_kept(void **state)
{
    see_setting(*state, "synchronous_commit = remote_apply", "remote_apply");
}

static void a_weaker_one_that_is_not_off_is_kept(void **state)
{
    see_setting(*state, "synchronous_commit = local", "local");
}

/* latchkey asks for generic plans of its own statements; what the application wrote is planned as
 * the session wants it: a script's SQL, and what a trigger does. */
static void the_way_of_planning_is_kept_for_the_application(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe recipe = {
        .name = "asks",
        .script = "output.s = sql(\"select current_setting('plan_cache_mode') as s\")[1].s"};
    struct recipe plain = {.name = "plain"};
    set_default(stage, "plan_cache_mode = force_custom_plan");
    fixture_exec(stage->conn,
                 "CREATE TABLE seen (mode text);"
                 "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                 " INSERT INTO seen VALUES (current_setting('plan_cache_mode')); RETURN NEW;"
                 " END $$;"
                 "CREATE TRIGGER look BEFORE UPDATE ON counter FOR EACH ROW EXECUTE FUNCTION "
                 "look()");
    peer_open(&peer, stage->conninfo, NULL);
    struct ending ending = peer_run(&peer, peer_publish(&peer, &recipe), "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_string_equal(ending.output, "{\"s\": \"force_custom_plan\"}");
    assert_int_equal(peer_run(&peer, peer_publish(&peer, &plain), "{\"id\":1}").status,
                     STATUS_COMPLETED);
    assert_int_equal(
        fixture_int(stage->conn, "SELECT count(*) FROM seen WHERE mode = 'force_custom_plan'"), 1);
    peer_close(&peer);
    fixture_exec(stage->conn,
                 "DROP TRIGGER look ON counter; DROP FUNCTION look(); DROP TABLE seen");
}

static void statements_of_a_batch_are_planned_once(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe plain = {.name = "plain"};
    struct recipe looks = {
        .name = "looks",
        .script = "output.n = sql(\"select count(*) as n from pg_prepared_statements where "
                  "custom_plans > 0 and statement like '%counter%'\")[1].n"};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *workflow = peer_publish(&peer, &plain);
    for (int i = 0; i < 3; i++)
        assert_int_equal(peer_run(&peer, workflow, "{\"id\":1}").status, STATUS_COMPLETED);
    struct ending ending = peer_run(&peer, peer_publish(&peer, &looks), "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_string_equal(ending.output, "{\"n\": 0}");
    peer_close(&peer);
}

/* In most styles of dates a time of Calcutta ends in IST, which PostgreSQL reads as that of Israel:
 * hours later. No statement takes longer than the waiting timeout, but together they do. */
static void a_style_of_dates_does_not_move_the_deadline(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe slow = {.name = "slow", .waiting = "1s"}, quick = {.name = "quick"};
    set_default(stage, "datestyle = 'SQL, DMY'");
    set_default(stage, "timezone = 'Asia/Kolkata'");
    peer_open(&peer, stage->conninfo, NULL);
    assert_int_equal(peer_run(&peer, peer_publish(&peer, &quick), "{\"id\":1}").status,
                     STATUS_COMPLETED);
    fixture_exec(stage->conn,
                 "CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                 " PERFORM pg_sleep(0.7); RETURN NEW; END $$;"
                 "CREATE TRIGGER nap BEFORE UPDATE ON counter FOR EACH ROW EXECUTE FUNCTION nap();"
                 "CREATE CONSTRAINT TRIGGER once_more AFTER UPDATE ON counter DEFERRABLE INITIALLY "
                 "DEFERRED FOR EACH ROW EXECUTE FUNCTION nap()");
    struct ending ending = peer_run(&peer, peer_publish(&peer, &slow), "{\"id\":2}");
    assert_int_equal(ending.status, STATUS_EXPIRED);
    assert_int_equal(stage_total(stage), 1);
    peer_close(&peer);
    fixture_exec(stage->conn, "DROP FUNCTION nap CASCADE");
}

/* latchkey asks for a way through its own rows; a trigger that runs before the commit does not. */
static void a_deferred_trigger_is_planned_as_the_session_wants_it(void **state)
{
    static const char *const writes[] = {"objects.new(\"noted\", {id = 1})",
                                         "sql(\"insert into noted values (2)\")"};
    struct stage *stage = *state;
    struct peer peer;
    fixture_exec(stage->conn,
                 "CREATE TABLE seen (mode text); CREATE TABLE noted (id int PRIMARY KEY);"
                 "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                 " INSERT INTO seen VALUES (current_setting('plan_cache_mode') ||"
                 " current_setting('enable_seqscan') || current_setting('enable_hashjoin') ||"
                 " current_setting('enable_mergejoin')); RETURN NEW; END $$;"
                 "CREATE CONSTRAINT TRIGGER look AFTER INSERT ON noted DEFERRABLE INITIALLY"
                 " DEFERRED FOR EACH ROW EXECUTE FUNCTION look()");
    peer_open(&peer, stage->conninfo, NULL);
    for (int i = 0; i < 2; i++) {
        char name[32], script[256];
        snprintf(name, sizeof name, "writes%d", i);
        snprintf(script, sizeof script,
                 "%s local other = objects.load(\"counter\", {id = 2}) other.value = 5"
                 " data.row.value = 5",
                 writes[i]);
        struct recipe recipe = {.name = name, .script = script};
        assert_int_equal(peer_run(&peer, peer_publish(&peer, &recipe), "{\"id\":1}").status,
                         STATUS_COMPLETED);
        assert_int_equal(
            fixture_int(stage->conn, "SELECT count(*) FROM seen WHERE mode = 'autoononon'"), i + 1);
    }
    peer_close(&peer);
    fixture_exec(stage->conn, "DROP TABLE noted, seen; DROP FUNCTION look()");
}

static const char SHOW_PLANS[] =
    "output.s = sql(\"select concat_ws(' ', current_setting('enable_seqscan'),"
    " current_setting('enable_hashjoin'),"
    " current_setting('enable_mergejoin'),"
    " current_setting('enable_tidscan'),"
    " current_setting('plan_cache_mode')) as s\")[1].s";

/* Two rows of one table, saved in place when the transaction ends, and by the same session then a
 * script with SQL of its own. */
static void show_plans(struct stage *stage, const char *expected)
{
    struct peer peer;
    struct recipe pair = {.name = "pair",
                          .script = "objects.load('counter', {id = 2}).value = 1"
                                    " data.row.value = data.row.value + 1"};
    struct recipe shows = {.name = "shows", .script = SHOW_PLANS};
    peer_open(&peer, stage->conninfo, NULL);
    struct workflow *saves = peer_publish(&peer, &pair), *asks = peer_publish(&peer, &shows);
    assert_int_equal(peer_run(&peer, saves, "{\"id\":1}").status, STATUS_COMPLETED);
    struct ending ending = peer_run(&peer, asks, "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_string_equal(ending.output, expected);
    peer_close(&peer);
    assert_int_equal(stage_total(stage), 2);
}

static void what_a_script_asks_is_planned_as_the_session_wants(void **state)
{
    struct stage *stage = *state;
    show_plans(stage, "{\"s\": \"on on on on auto\"}");
    fixture_exec(stage->conn, "UPDATE counter SET value = 0");
    set_default(stage, "enable_seqscan = off");
    set_default(stage, "enable_hashjoin = off");
    set_default(stage, "enable_tidscan = off");
    set_default(stage, "jit = off"); /* what looks dear so is not worth compiling */
    show_plans(stage, "{\"s\": \"off off on off auto\"}");
}

/* The rows are saved, in its own transaction, before the script is answered. */
static void so_it_is_after_rows_were_saved_in_its_transaction(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    char script[1024];
    snprintf(
        script, sizeof script,
        "objects.load('counter', {id = 2}).value = 1 data.row.value = 1"
        " if #objects.list('counter', {where = {value = 1}}) ~= 2 then fail('not saved') end %s",
        SHOW_PLANS);
    struct recipe recipe = {.script = script};
    set_default(stage, "enable_mergejoin = off");
    peer_open(&peer, stage->conninfo, NULL);
    struct ending ending = peer_run(&peer, peer_publish(&peer, &recipe), "{\"id\":1}");
    assert_int_equal(ending.status, STATUS_COMPLETED);
    assert_string_equal(ending.output, "{\"s\": \"on on off on auto\"}");
    peer_close(&peer);
}

/* What a trigger does, too, where two rows of its table are saved. */
static void a_trigger_sees_the_ways_of_the_session(void **state)
{
    struct stage *stage = *state;
    struct peer peer;
    struct recipe recipe = {.script = "objects.load('counter', {id = 2}).value = 1"
                                      " data.row.value = 1"};
    set_default(stage, "enable_hashjoin = off");
    fixture_exec(stage->conn,
                 "CREATE TABLE seen (ways text);"
                 "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                 " INSERT INTO seen VALUES (concat_ws(' ', current_setting('enable_seqscan'),"
                 " current_setting('enable_hashjoin'), current_setting('enable_mergejoin'),"
                 " current_setting('enable_tidscan'))); RETURN NEW; END $$;"
                 "CREATE TRIGGER look BEFORE UPDATE ON counter FOR EACH ROW EXECUTE FUNCTION "
                 "look()");
    peer_open(&peer, stage->conninfo, NULL);
    assert_int_equal(peer_run(&peer, peer_publish(&peer, &recipe), "{\"id\":1}").status,
                     STATUS_COMPLETED);
    peer_close(&peer);
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM seen"), 2);
    assert_int_equal(
        fixture_int(stage->conn, "SELECT count(*) FROM seen WHERE ways = 'on off on on'"), 2);
}

/* ---- limits of the second pipeline ---- */

/* The limit that a statement of the save has, in milliseconds, by a trigger. */
static int64_t limit_of_save_ms(struct stage *stage, const struct recipe *recipe)
{
    struct peer peer;
    fixture_exec(stage->conn,
                 "CREATE TABLE seen (ms bigint);"
                 "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                 " INSERT INTO seen SELECT setting::bigint FROM pg_settings WHERE name ="
                 " 'statement_timeout'; RETURN NEW; END $$;"
                 "CREATE TRIGGER look BEFORE UPDATE ON counter FOR EACH ROW EXECUTE FUNCTION "
                 "look()");
    peer_open(&peer, stage->conninfo, NULL);
    assert_int_equal(peer_run(&peer, peer_publish(&peer, recipe), "{\"id\":1}").status,
                     STATUS_COMPLETED);
    peer_close(&peer);
    assert_int_equal(fixture_int(stage->conn, "SELECT count(*) FROM seen"), 1);
    return fixture_int(stage->conn, "SELECT ms FROM seen");
}

static void a_quick_script_is_saved_under_the_first_limits(void **state)
{
    struct recipe recipe = {.waiting = "3000s"}; /* a hundredth of it is half a minute */
    assert_int_equal(limit_of_save_ms(*state, &recipe), 3000 * 1000);
}

static void a_slow_one_is_saved_under_those_of_what_is_left(void **state)
{
    struct recipe recipe = {.waiting = "20s",
                            .script = "sleep(0.4) data.row.value = data.row.value + 1"};
    assert_in_range(limit_of_save_ms(*state, &recipe), 1, 20 * 1000 - 400);
}

/* It could have changed them. */
static void one_with_sql_of_its_own_is_saved_under_limits_of_its_own(void **state)
{
    struct stage *stage = *state;
    struct recipe recipe = {.waiting = "3000s",
                            .script = "sql('select loosen()') data.row.value = data.row.value + 1"};
    fixture_exec(stage->conn, "CREATE FUNCTION loosen() RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
                              " PERFORM set_config('statement_timeout', '0', true); END $$");
    assert_in_range(limit_of_save_ms(stage, &recipe), 1, 3000 * 1000);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int settings_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(repeatable_read_as_the_default_loses_no_update),
        TEST(a_short_statement_timeout_does_not_cut_the_work),
        TEST(a_short_lock_timeout_does_not_cut_the_waits),
        TEST(a_short_transaction_timeout_does_not_cut_the_waits),
        TEST(short_idle_limits_do_not_end_a_holder_or_the_host),
        TEST(read_only_as_the_default_does_not_stop_the_work),
        TEST(a_style_of_dates_does_not_move_the_deadline),
        TEST(synchronous_commit_off_is_raised),
        TEST(a_stronger_synchronous_commit_is_kept),
        TEST(a_weaker_one_that_is_not_off_is_kept),
        TEST(the_way_of_planning_is_kept_for_the_application),
        TEST(a_deferred_trigger_is_planned_as_the_session_wants_it),
        TEST(statements_of_a_batch_are_planned_once),
        TEST(what_a_script_asks_is_planned_as_the_session_wants),
        TEST(so_it_is_after_rows_were_saved_in_its_transaction),
        TEST(a_trigger_sees_the_ways_of_the_session),
        TEST(a_quick_script_is_saved_under_the_first_limits),
        TEST(a_slow_one_is_saved_under_those_of_what_is_left),
        TEST(one_with_sql_of_its_own_is_saved_under_limits_of_its_own),
    };
    return cmocka_run_group_tests_name("settings", tests, stage_open, stage_close);
}
