/* Executions by themselves that run before their locks are asked for: attacks on what they
 * remember. */
#include "early_desk.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- it is another row, or the same with another meaning ---- */

/* The save gives back a row that is no answer to the question any more. */
static void a_row_whose_key_was_changed_is_not_the_one_that_is_asked_for(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state,
                    FLOW FLOW_STEP("a", FLOW_CONTEXT, "",
                                   "data.row.n = data.row.n + 1;"
                                   " if data.row.n == 4 then data.row.id = 100 end"));
    early_desk_run_well(&desk);
    struct outcome outcome = early_desk_run(&desk);
    assert_outcome(&outcome, STATUS_MISSING, "no such row");
    assert_sql_int(desk.fixture, "SELECT n FROM counter WHERE id = 100", 4);
    fixture_exec(desk.other, "UPDATE counter SET id = 1 WHERE id = 100");
    early_desk_close(&desk, 4, 4);
}

/* None of these writes a row: its place and version stay. */
static void columns_that_got_another_meaning_are_read_anew(void **state)
{
    static const struct {
        const char *change;
        int n;
    } cases[] = {
        {"ALTER TABLE counter RENAME n TO x; ALTER TABLE counter RENAME m TO n;"
         "ALTER TABLE counter RENAME x TO m",
         71},
        {"ALTER TABLE counter DROP COLUMN n; ALTER TABLE counter ADD n integer NOT NULL DEFAULT 50",
         51},
    };
    struct runtime_options options = early_desk_options(state);
    for (int i = 0; i < 2; i++) {
        struct early_desk desk;
        early_desk_open_with(&desk, state,
                             FLOW_TABLES "ALTER TABLE counter ADD m integer NOT NULL DEFAULT 70",
                             ADD, &options);
        fixture_exec(desk.other, cases[i].change);
        struct outcome outcome = early_desk_run(&desk);
        assert_outcome(&outcome, STATUS_COMPLETED, "");
        early_desk_close(&desk, 4, cases[i].n);
    }
}

/* ---- what the database refuses ---- */

/* The value is no date, but that of the row that stands would have been one. */
static void what_came_of_another_row_is_not_refused(void **state)
{
    struct runtime_options options = early_desk_options(state);
    struct early_desk desk;
    early_desk_open_with(
        &desk, state, FLOW_TABLES "ALTER TABLE counter ADD d date, ADD t text DEFAULT '2026-01-01'",
        FLOW FLOW_STEP("a", FLOW_CONTEXT, "",
                       "data.row.n = data.row.n + 1;"
                       " data.row.d = data.row.n == 4 and 'never' or data.row.t"),
        &options);
    fixture_exec(desk.other, "UPDATE counter SET n = n + 1 WHERE id = 1");
    struct outcome outcome = early_desk_run(&desk);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    early_desk_close(&desk, 4, 5);
}

static void what_the_database_refuses_fails_as_ever(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state, ADD);
    fixture_exec(desk.other, "ALTER TABLE counter ADD CHECK (n < 4)");
    struct outcome outcome = early_desk_run(&desk);
    assert_outcome(&outcome, STATUS_FAILED, "check");
    assert_int_equal(outcome.attempts, 1);
    early_desk_close(&desk, 3, 3);
}

/* ---- two at one row ---- */

static void two_workflows_share_what_is_remembered(void **state)
{
    enum { ROUNDS = 20 };
    struct early_desk desk;
    struct outcome outcome;
    early_desk_open(&desk, state, ADD);
    struct workflow *tens =
        host_publish(desk.host, FLOW_OF("tens", "", "", "") FLOW_ADD("a", "10", ""));
    for (int i = 0; i < ROUNDS; i++) {
        early_desk_run_well(&desk);
        host_submit(desk.host, tens, "{\"id\":1}", &outcome);
        runtime_fixture_wait(desk.fixture);
        assert_outcome(&outcome, STATUS_COMPLETED, "");
    }
    assert_int_equal(early_desk_n_early(&desk), 1 + 2 * ROUNDS);
    assert_int_equal(early_desk_n_missed(&desk), 0);
    early_desk_close(&desk, 3 + 2 * ROUNDS, 3 + 11 * ROUNDS);
}

static void many_at_once_of_one_row_all_count(void **state)
{
    enum { ROUNDS = 8, EACH = 5 };
    struct early_desk desk;
    struct outcome outcomes[EACH];
    early_desk_open(&desk, state, ADD);
    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < EACH; k++)
            host_submit(desk.host, desk.workflow, "{\"id\":1}", &outcomes[k]);
        runtime_fixture_wait(desk.fixture);
        assert_int_equal(count_outcomes(outcomes, EACH, STATUS_COMPLETED), EACH);
        early_desk_run_well(&desk);
    }
    early_desk_close(&desk, 3 + ROUNDS * (EACH + 1), 3 + ROUNDS * (EACH + 1));
}

/* ---- what is never early ---- */

static void who_has_a_key_is_not_early_and_is_replayed(void **state)
{
    struct early_desk desk;
    struct outcome outcome;
    early_desk_open(&desk, state, ADD);
    for (int i = 0; i < 3; i++) {
        host_submit_keyed(desk.host, desk.workflow, "{\"id\":1}", "once", &outcome);
        runtime_fixture_wait(desk.fixture);
        assert_outcome(&outcome, STATUS_COMPLETED, "");
        assert_int_equal(outcome.replayed, i > 0);
    }
    assert_int_equal(early_desk_n_early(&desk), 1);
    assert_int_equal(early_desk_n_missed(&desk), 0);
    early_desk_close(&desk, 4, 4);
}

static void work_in_the_background_is_not_early(void **state)
{
    struct early_desk desk;
    struct outcome outcomes[3];
    early_desk_open(&desk, state, ADD);
    host_work(desk.host);
    for (int i = 0; i < 3; i++) {
        host_enqueue(desk.host, desk.workflow, "{\"id\":1}", 0, &outcomes[i]);
        runtime_fixture_until(desk.fixture, "SELECT n FROM counter WHERE id = 1", 4 + i);
        runtime_fixture_until(desk.fixture, "SELECT count(*) FROM latchkey.job", 0);
    }
    assert_int_equal(early_desk_n_early(&desk), 1);
    assert_int_equal(early_desk_n_missed(&desk), 0);
    early_desk_close(&desk, 6, 6);
}

/* Runs one that is not early, nor tries to be, of a row that is remembered. */
static void is_never_early(void **state, const char *yaml, int n_added)
{
    struct early_desk desk;
    struct outcome outcome;
    early_desk_open(&desk, state, ADD);
    struct workflow *other = host_publish(desk.host, yaml);
    host_submit(desk.host, other, "{\"id\":1}", &outcome);
    runtime_fixture_wait(desk.fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_int_equal(early_desk_n_early(&desk), 1);
    assert_int_equal(early_desk_n_missed(&desk), 0);
    assert_sql_int(desk.fixture, "SELECT n FROM counter WHERE id = 1", 3 + n_added);
    PQfinish(desk.other);
    assert_nothing_held(desk.fixture);
    host_stop(desk.host);
}

#define OTHER(keys) FLOW_OF("other", keys, "", "")

static void activities_of_another_kind_are_not_early(void **state)
{
    static const char *const yamls[] = {
        OTHER("") FLOW_ADD("a", "1", FLOW_LEASE),
        OTHER("") FLOW_STEP("a", "{\"counter\", data.row.id}", "", "data.row.n = data.row.n + 1"),
        OTHER("history: failures\n") FLOW_ADD("a", "1", ""),
        FLOW_OF("other", "", "", "  more: {table: counter, key: {id: 2}}\n")
            FLOW_STEP("a", FLOW_CONTEXT, "", "data.row.n = data.row.n + 1; data.more.n = 7"),
        OTHER("") "  a:\n    script: data.row.n = data.row.n + 1\n",
    };
    for (size_t i = 0; i < sizeof yamls / sizeof *yamls; i++)
        is_never_early(state, yamls[i], 1);
}

static void activities_with_many_locks_are_not_early(void **state)
{
    static const char *const contexts[] = {
        "{{\"counter\", input.id}, {\"counter\", 2}}",
        "{\"counter\", input.id, \"b\", \"c\", \"d\"}",
    };
    char yaml[1000];
    for (int i = 0; i < 2; i++) {
        snprintf(yaml, sizeof yaml,
                 OTHER("") FLOW_STEP("a", "%s", "", "data.row.n = data.row.n + 1"), contexts[i]);
        is_never_early(state, yaml, 1);
    }
}

/* Both activities are one transaction. */
static void the_first_of_two_activities_is_undone_with_the_second(void **state)
{
    struct early_desk desk;
    struct outcome outcome;
    early_desk_open(&desk, state, ADD);
    struct workflow *chain =
        host_publish(desk.host, OTHER("") FLOW_ADD("a", "1", FLOW_OFF FLOW_TO("b"))
                                    FLOW_STEP("b", FLOW_CONTEXT, "", "error('no')"));
    host_submit(desk.host, chain, "{\"id\":1}", &outcome);
    runtime_fixture_wait(desk.fixture);
    assert_outcome(&outcome, STATUS_FAILED, "no");
    early_desk_close(&desk, 3, 3);
}

static void what_is_emitted_is_emitted(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state,
                    FLOW FLOW_STEP("a", FLOW_CONTEXT, "",
                                   "data.row.n = data.row.n + 1;"
                                   " if data.row.n > 3 then emit('counted', {id = 2}) end"));
    host_publish(desk.host, OTHER("") FLOW_ADD("a", "10", ""));
    fixture_exec(desk.other,
                 "INSERT INTO latchkey.trigger (workflow, version, ordinal, event, every_ms,"
                 " next_at) VALUES ('other', 1, 0, 'counted', NULL, NULL) ON CONFLICT DO NOTHING");
    for (int i = 0; i < 3; i++)
        early_desk_run_well(&desk);
    assert_sql_int(desk.fixture, "SELECT count(*) FROM latchkey.job", 3);
    assert_int_equal(early_desk_n_early(&desk), 1);
    early_desk_close(&desk, 6, 6);
}

/* ---- tables of other kinds ---- */

/* types: those of two inputs, id and part, apart by a comma. */
static void run_at(struct early_desk *desk, void **state, const char *tables, const char *types,
                   const char *data, const char *script, const char *input, int n_times)
{
    char yaml[1000];
    struct outcome outcome;
    struct runtime_options options = early_desk_options(state);
    *desk = (struct early_desk){.fixture = *state};
    runtime_fixture_tables(desk->fixture, tables);
    desk->host = host_start(desk->fixture, &options);
    desk->other = fixture_connect(desk->fixture->conninfo);
    snprintf(yaml, sizeof yaml,
             "workflow: flow\ninput: {id: %s}\ndata:\n  row: {table: counter, %s}\n"
             "start: a\nactivities:\n" FLOW_STEP("a", FLOW_CONTEXT, "", "%s"),
             types, data, script);
    desk->workflow = host_publish(desk->host, yaml);
    for (int i = 0; i < n_times; i++) {
        host_submit(desk->host, desk->workflow, input, &outcome);
        runtime_fixture_wait(desk->fixture);
        assert_outcome(&outcome, STATUS_COMPLETED, "");
    }
}

static void done_at(struct early_desk *desk, int n_early)
{
    assert_int_equal(early_desk_n_early(desk), n_early);
    assert_int_equal(early_desk_n_missed(desk), 0);
    PQfinish(desk->other);
    assert_nothing_held(desk->fixture);
    host_stop(desk->host);
}

static void keys_of_texts_and_of_several_columns_are_keys(void **state)
{
    struct early_desk desk;
    run_at(&desk, state,
           "CREATE TABLE counter (id text, part integer, n integer, content text,"
           " PRIMARY KEY (id, part));"
           "INSERT INTO counter VALUES ('a|1:b''\"', 1, 0), ('a|1:b''\"', 2, 50), ('', 1, 70)",
           "string, part: integer", "key: {id: input.id, part: input.part}",
           "data.row.n = data.row.n + 1", "{\"id\":\"a|1:b'\\\"\",\"part\":1}", 5);
    assert_sql_text(desk.fixture, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM counter",
                    "5 50 70");
    done_at(&desk, 3);
}

/* It is found by another key than the primary one, which the script gives to another row. */
static void a_unique_key_that_moves_to_another_row_finds_that(void **state)
{
    struct early_desk desk;
    struct outcome outcome;
    run_at(&desk, state,
           "CREATE TABLE counter (id integer PRIMARY KEY, code text UNIQUE, n integer);"
           "INSERT INTO counter VALUES (1, 'x', 0), (2, 'y', 50)",
           "integer, part: string", "key: {code: input.part}",
           "data.row.n = data.row.n + 1; if data.row.n == 4 then data.row.code = 'z' end",
           "{\"id\":1,\"part\":\"x\"}", 4);
    fixture_exec(desk.other, "UPDATE counter SET code = 'x' WHERE id = 2");
    host_submit(desk.host, desk.workflow, "{\"id\":1,\"part\":\"x\"}", &outcome);
    runtime_fixture_wait(desk.fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_text(desk.fixture, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM counter",
                    "4 51");
    PQfinish(desk.other);
    host_stop(desk.host);
}

static void who_always_emits_is_not_early(void **state)
{
    struct early_desk desk;
    run_at(&desk, state, FLOW_TABLES, "integer, part: integer", "key: {id: input.id}",
           "data.row.n = data.row.n + 1; emit('counted')", "{\"id\":1,\"part\":1}", 5);
    assert_sql_int(desk.fixture, "SELECT n FROM counter WHERE id = 1", 5);
    done_at(&desk, 0);
}

static void a_table_in_parts_is_not_remembered(void **state)
{
    struct early_desk desk;
    run_at(&desk, state,
           "CREATE TABLE counter (id integer, n integer, k integer, PRIMARY KEY (id, k))"
           " PARTITION BY LIST (k);"
           "CREATE TABLE one PARTITION OF counter FOR VALUES IN (0, 1, 2, 3, 4);"
           "CREATE TABLE two PARTITION OF counter FOR VALUES IN (5, 6, 7, 8, 9);"
           "INSERT INTO counter VALUES (1, 0, 0)",
           "integer, part: integer", "key: {id: input.id, k: input.part}",
           "data.row.n = data.row.n + 1", "{\"id\":1,\"part\":0}", 5);
    assert_sql_int(desk.fixture, "SELECT n FROM counter", 5);
    done_at(&desk, 0);
}

static void wide_rows_and_large_ones_are_not_early(void **state)
{
    struct early_desk desk;
    run_at(&desk, state,
           "CREATE TABLE counter (id integer PRIMARY KEY, n integer, t text);"
           "INSERT INTO counter VALUES (1, 0, repeat('x', 9000))",
           "integer, part: integer", "key: {id: input.id}", "data.row.n = data.row.n + 1",
           "{\"id\":1,\"part\":1}", 5);
    assert_sql_int(desk.fixture, "SELECT n FROM counter WHERE length(t) = 9000", 5);
    done_at(&desk, 0);
    run_at(&desk, state,
           "CREATE TABLE counter (id integer PRIMARY KEY, n integer NOT NULL);"
           "INSERT INTO counter VALUES (1, 0); DO $$BEGIN FOR i IN 1..30 LOOP"
           " EXECUTE format('ALTER TABLE counter ADD c%s integer', i); END LOOP; END$$",
           "integer, part: integer", "key: {id: input.id}",
           "data.row.n = data.row.n + 1; for i = 1, 30 do data.row['c' .. i] = data.row.n end",
           "{\"id\":1,\"part\":1}", 5);
    assert_sql_int(desk.fixture, "SELECT n + c1 + c30 FROM counter", 15);
    done_at(&desk, 0);
}

static void another_table_of_the_same_name_is_another(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state, ADD);
    fixture_exec(desk.other, "CREATE TABLE new (LIKE counter INCLUDING ALL);"
                             "INSERT INTO new VALUES (1, 50); BEGIN;"
                             "ALTER TABLE counter RENAME TO old; ALTER TABLE new RENAME TO counter;"
                             "COMMIT");
    struct outcome outcome = early_desk_run(&desk);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_int(desk.fixture, "SELECT n FROM old WHERE id = 1", 3);
    early_desk_close(&desk, 4, 51);
}

/* ---- what is only read ---- */

static void who_only_reads_reads_what_stands(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state,
                    FLOW FLOW_STEP("a", FLOW_CONTEXT, "",
                                   "if data.row.n < 3 then data.row.n = data.row.n + 1 end;"
                                   " output.n = data.row.n"));
    fixture_exec(desk.other, "UPDATE counter SET n = 50 WHERE id = 1");
    struct outcome outcome = early_desk_run(&desk);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "{\"n\":50}");
    early_desk_close(&desk, 4, 50);
}

/* ---- conflicts ---- */

static void a_change_that_was_made_before_is_no_conflict(void **state)
{
    static const char *const kinds[] = {"fail", "overwrite", "retry"};
    for (int i = 0; i < 3; i++) {
        struct early_desk desk;
        char yaml[1000];
        snprintf(yaml, sizeof yaml, FLOW FLOW_ADD("a", "1", "    on-conflict: %s\n"), kinds[i]);
        early_desk_open(&desk, state, yaml);
        fixture_exec(desk.other, "UPDATE counter SET n = n + 100 WHERE id = 1");
        early_desk_run_well(&desk);
        early_desk_close(&desk, 4, 104);
    }
}

static void who_would_not_wait_for_its_lock_does_not(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state, FLOW FLOW_ADD("a", "1", "    acquire-timeout: 0s\n"));
    fixture_exec(desk.other, "BEGIN; SELECT latchkey.lock('counter/1')");
    struct outcome outcome = early_desk_run(&desk);
    assert_outcome(&outcome, STATUS_LOCKED, "");
    fixture_exec(desk.other, "COMMIT");
    early_desk_close(&desk, 3, 3);
}

/* ---- limits ---- */

/* As ever in company: others of the host would wait with it. */
static void a_row_that_somebody_has_locked_is_not_waited_for_long(void **state)
{
    struct early_desk desk;
    struct outcome outcome;
    early_desk_open(
        &desk, state,
        FLOW FLOW_ADD("a", "1", "    waiting-timeout: 60s\n    acquire-timeout: 60s\n"));
    fixture_exec(desk.other, "BEGIN; UPDATE counter SET n = n + 100 WHERE id = 1");
    host_submit(desk.host, desk.workflow, "{\"id\":1}", &outcome);
    for (int i = 0; i < 200 && early_desk_n_missed(&desk) == 0; i++)
        runtime_fixture_turn(desk.fixture, 100);
    assert_int_equal(early_desk_n_missed(&desk), 1);
    fixture_exec(desk.other, "COMMIT");
    runtime_fixture_wait(desk.fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    early_desk_close(&desk, 4, 104);
}

/* The server ends it, and says so. */
static void a_statement_that_takes_too_long_is_ended(void **state)
{
    struct early_desk desk;
    early_desk_open(&desk, state, FLOW FLOW_ADD("a", "1", "    waiting-timeout: 500ms\n"));
    fixture_exec(desk.other, "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
                             " $$BEGIN PERFORM pg_sleep(60); RETURN NEW; END$$;"
                             "CREATE TRIGGER slow BEFORE UPDATE ON counter FOR EACH ROW"
                             " EXECUTE FUNCTION slow()");
    struct outcome outcome = early_desk_run(&desk);
    assert_outcome(&outcome, STATUS_EXPIRED, "waiting timeout");
    assert_int_equal(early_desk_n_missed(&desk), 1);
    early_desk_close(&desk, 3, 3);
}

/* Its version is another, and all else as it was. */
static void a_row_that_is_written_in_vain_while_it_is_waited_for_is_another(void **state)
{
    struct early_desk desk;
    struct outcome outcome;
    early_desk_open(&desk, state, ADD);
    fixture_exec(desk.other, "BEGIN; UPDATE counter SET n = n WHERE id = 1");
    host_submit(desk.host, desk.workflow, "{\"id\":1}", &outcome);
    early_desk_until_somebody_waits(&desk);
    fixture_exec(desk.other, "COMMIT");
    runtime_fixture_wait(desk.fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_int_equal(early_desk_n_early(&desk), 1);
    early_desk_close(&desk, 4, 4);
}

static void every_path_above_is_in_the_way(void **state)
{
    static const char *const paths[] = {"*", "counter", "counter/1", "counter/1/line",
                                        "counter/1/line/2"};
    for (int i = 0; i < 5; i++) {
        struct early_desk desk;
        struct outcome outcome;
        early_desk_open(&desk, state,
                        FLOW FLOW_STEP("a", "{\"counter\", input.id, \"line\"}", "",
                                       "data.row.n = data.row.n + 1"));
        fixture_execf(desk.other, "BEGIN; SELECT latchkey.lock('%s')", paths[i]);
        host_submit(desk.host, desk.workflow, "{\"id\":1}", &outcome);
        runtime_fixture_turn(desk.fixture, 100);
        assert_false(outcome.told);
        fixture_exec(desk.other, "COMMIT");
        runtime_fixture_wait(desk.fixture);
        assert_outcome(&outcome, STATUS_COMPLETED, "");
        assert_int_equal(early_desk_n_missed(&desk), 1);
        PQfinish(desk.other);
        host_stop(desk.host);
    }
}

int early_more_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_whose_key_was_changed_is_not_the_one_that_is_asked_for),
        cmocka_unit_test(columns_that_got_another_meaning_are_read_anew),
        cmocka_unit_test(what_came_of_another_row_is_not_refused),
        cmocka_unit_test(what_the_database_refuses_fails_as_ever),
        cmocka_unit_test(two_workflows_share_what_is_remembered),
        cmocka_unit_test(many_at_once_of_one_row_all_count),
        cmocka_unit_test(who_has_a_key_is_not_early_and_is_replayed),
        cmocka_unit_test(work_in_the_background_is_not_early),
        cmocka_unit_test(activities_of_another_kind_are_not_early),
        cmocka_unit_test(activities_with_many_locks_are_not_early),
        cmocka_unit_test(the_first_of_two_activities_is_undone_with_the_second),
        cmocka_unit_test(what_is_emitted_is_emitted),
        cmocka_unit_test(keys_of_texts_and_of_several_columns_are_keys),
        cmocka_unit_test(a_unique_key_that_moves_to_another_row_finds_that),
        cmocka_unit_test(who_always_emits_is_not_early),
        cmocka_unit_test(a_table_in_parts_is_not_remembered),
        cmocka_unit_test(wide_rows_and_large_ones_are_not_early),
        cmocka_unit_test(another_table_of_the_same_name_is_another),
        cmocka_unit_test(who_only_reads_reads_what_stands),
        cmocka_unit_test(a_change_that_was_made_before_is_no_conflict),
        cmocka_unit_test(who_would_not_wait_for_its_lock_does_not),
        cmocka_unit_test(a_row_that_somebody_has_locked_is_not_waited_for_long),
        cmocka_unit_test(a_statement_that_takes_too_long_is_ended),
        cmocka_unit_test(a_row_that_is_written_in_vain_while_it_is_waited_for_is_another),
        cmocka_unit_test(every_path_above_is_in_the_way),
    };
    return cmocka_run_group_tests_name("early_more", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
