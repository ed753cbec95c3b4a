/* Each documented outcome of one execution, with what it leaves in the database. */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char TABLES[] =
    "CREATE TABLE owner (id int PRIMARY KEY);"
    "INSERT INTO owner VALUES (1);"
    "CREATE TABLE counter (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0 CHECK (n < 100),"
    " day date, ref uuid, owner int REFERENCES owner);"
    "INSERT INTO counter (id) SELECT generate_series(1, 3);"
    "CREATE TABLE dated (day date PRIMARY KEY, ref uuid UNIQUE, n int)";

/* A workflow over one row of counter; lines of the activity and of the script are the test's. */
#define COUNTER_HEAD                                                                               \
    "workflow: counter\n"                                                                          \
    "input:\n"                                                                                     \
    "  id: integer\n"                                                                              \
    "data:\n"                                                                                      \
    "  c:\n"                                                                                       \
    "    table: counter\n"                                                                         \
    "    key: { id: input.id }\n"                                                                  \
    "start: go\n"                                                                                  \
    "activities:\n"                                                                                \
    "  go:\n"                                                                                      \
    "    enable-exclusive-lock: true\n"                                                            \
    "    lock-context: '{\"counter\", input.id}'\n"
#define COUNTER(lines, script) COUNTER_HEAD lines "    script: |\n      " script "\n"

static struct host *start(void **state)
{
    runtime_fixture_tables(*state, TABLES);
    return host_start(*state, NULL);
}

static void assert_history(struct runtime_fixture *fixture, int n_instances, int n_executions)
{
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.instance", n_instances);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.execution", n_executions);
}

/* It ended without a trace but its history row. */
static void assert_nothing_kept(struct runtime_fixture *fixture, const struct outcome *outcome)
{
    char sql[512];
    assert_history(fixture, 0, 1);
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM latchkey.execution WHERE instance = '%s' AND status = '%s'"
             " AND reason IS NOT NULL",
             outcome->id, execution_status_row(outcome->status)->name);
    assert_sql_int(fixture, sql, 1);
    assert_sql_int(fixture, "SELECT sum(n) FROM counter", 0);
    assert_nothing_held(fixture);
}

/* ---- completed ---- */

static void a_completed_execution_keeps_its_changes(void **state)
{
    struct host *host = start(state);
    struct outcome outcome =
        host_run(host, COUNTER("", "data.c.n = data.c.n + 1; output.n = data.c.n"), "{\"id\":2}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.reason, "");
    assert_string_equal(outcome.output, "{\"n\":1}");
    assert_string_equal(outcome.paths, "counter/2");
    assert_int_equal(outcome.attempts, 1);
    assert_true(outcome.waited_us > 0 && outcome.held_us > 0);
    assert_sql_text(*state, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM counter", "0 1 0");
    assert_history(*state, 1, 1);
    assert_sql_text(*state,
                    "SELECT concat_ws(' ', workflow, version, activity, status, input, output)"
                    " FROM latchkey.instance",
                    "counter 1 go completed {\"id\": 2} {\"n\": 1}");
    assert_sql_text(*state,
                    "SELECT concat_ws(' ', e.workflow, e.version, e.activity, e.status, e.paths,"
                    " attempts, held_ms > 0, e.reason IS NULL, e.instance = i.id)"
                    " FROM latchkey.execution e, latchkey.instance i",
                    "counter 1 go completed {counter/2} 1 t t t");
    assert_nothing_held(*state);
    host_stop(host);
}

static void an_activity_without_a_script_completes(void **state)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(host, COUNTER_HEAD, "{\"id\":1}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "");
    assert_history(*state, 1, 1);
    host_stop(host);
}

static void without_a_lock_there_are_no_paths(void **state)
{
    struct host *host = start(state);
    struct outcome outcome =
        host_run(host,
                 "workflow: w\nstart: a\nactivities:\n  a:\n"
                 "    script: output.x = select('#', table.unpack(lock.paths))\n",
                 "{}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_int_equal(outcome.n_paths, 0);
    assert_string_equal(outcome.output, "{\"x\":0}");
    host_stop(host);
}

static void without_a_lock_context_the_lock_is_the_whole_system(void **state)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(host,
                                      "workflow: w\nstart: a\nactivities:\n  a:\n"
                                      "    enable-exclusive-lock: true\n"
                                      "    script: output.x = lock.paths[1]\n",
                                      "{}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.paths, "*");
    assert_string_equal(outcome.output, "{\"x\":\"*\"}");
    host_stop(host);
}

/* ---- blocked, missing ---- */

static void a_false_guard_blocks(void **state)
{
    struct host *host = start(state);
    struct outcome outcome =
        host_run(host, COUNTER("    guard: data.c.n > 0\n", "data.c.n = 5"), "{\"id\":1}");
    assert_outcome(&outcome, STATUS_BLOCKED, "guard");
    assert_nothing_kept(*state, &outcome);
    host_stop(host);
}

static void a_guard_that_fails_is_told_with_its_place(void **state)
{
    struct host *host = start(state);
    struct outcome outcome =
        host_run(host, COUNTER("    guard: data.c.m > 0\n", "data.c.n = 5"), "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "test.yaml:13:");
    assert_nothing_kept(*state, &outcome);
    host_stop(host);
}

static void a_guard_cannot_change_data(void **state)
{
    static const char guard[] = "    guard: |\n"
                                "      data.c.n = 7\n"
                                "      return true\n";
    char yaml[1024];
    struct host *host = start(state);
    snprintf(yaml, sizeof yaml, "%s%s", COUNTER_HEAD, guard);
    struct outcome outcome = host_run(host, yaml, "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "cannot change data");
    assert_nothing_kept(*state, &outcome);
    host_stop(host);
}

/* Nor what the script sees beside it. */
static void what_a_guard_does_to_values_is_of_no_effect(void **state)
{
    static const char rest[] = "    guard: |\n"
                               "      input.id = 2 vars.x = 1\n"
                               "      return input.id == 2 and vars.x == 1\n"
                               "    script: output.id = input.id; output.x = vars.x\n";
    char yaml[1024];
    struct host *host = start(state);
    snprintf(yaml, sizeof yaml, "%s%s", COUNTER_HEAD, rest);
    struct outcome outcome = host_run(host, yaml, "{\"id\":1}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "{\"id\":1}");
    host_stop(host);
}

/* Places are lent again: many runs, one after the other and side by side. */
static void no_run_sees_what_another_left(void **state)
{
    enum { N = 40 };
    static const char script[] =
        "if leak or output.n or vars.n or data.extra or lock.mine then fail('leak') end "
        "leak = 1; output.n = input.id; vars.n = 1; rawset(_ENV, 'math', 1); "
        "data.c.n = data.c.n + 1";
    struct outcome outcomes[N];
    struct host *host = start(state);
    char yaml[1024];
    snprintf(yaml, sizeof yaml, "%s    script: |\n      %s\n", COUNTER_HEAD, script);
    struct workflow *workflow = host_publish(host, yaml);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++)
            host_submit(host, workflow, i % 2 ? "{\"id\":1}" : "{\"id\":2}", &outcomes[i]);
        runtime_fixture_wait(*state);
        assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N);
        assert_string_equal(outcomes[0].output, "{\"n\":2}");
        assert_string_equal(outcomes[1].output, "{\"n\":1}");
    }
    assert_sql_int(*state, "SELECT sum(n) FROM counter WHERE id IN (1, 2)", 2 * N);
    host_stop(host);
}

static void a_required_row_that_is_not_there_is_missing(void **state)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(host, COUNTER("", "data.c.n = 1"), "{\"id\":77}");
    assert_outcome(&outcome, STATUS_MISSING, "test.yaml:5: data.c: no such row in table counter");
    assert_nothing_kept(*state, &outcome);
    host_stop(host);
}

static void a_row_that_is_not_required_may_be_nil(void **state)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(host,
                                      "workflow: w\ninput:\n  id: integer\ndata:\n  c:\n"
                                      "    table: counter\n    key: { id: input.id }\n"
                                      "    required: false\nstart: a\nactivities:\n  a:\n"
                                      "    script: output.there = data.c ~= nil\n",
                                      "{\"id\":77}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_string_equal(outcome.output, "{\"there\":false}");
    host_stop(host);
}

/* ---- invalid ---- */

static void assert_invalid(void **state, const char *yaml, const char *input, const char *reason)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(host, yaml, input);
    assert_outcome(&outcome, STATUS_INVALID, reason);
    assert_nothing_kept(*state, &outcome);
    host_stop(host);
}

static void input_of_a_wrong_type_is_invalid(void **state)
{
    assert_invalid(state, COUNTER("", "data.c.n = 1"), "{\"id\":\"1\"}", "id");
    assert_invalid(state, COUNTER("", "data.c.n = 1"), "{}", "id");
    assert_invalid(state, COUNTER("", "data.c.n = 1"), "{\"id\":1,\"x\":2}", "x");
}

#define DATA(table, key)                                                                           \
    "workflow: w\ninput:\n  id: integer\n  s?: string\ndata:\n  c:\n    table: " table             \
    "\n    key: { " key " }\nstart: a\nactivities:\n  a:\n    script: data.c.n = 1\n"

static void a_table_that_does_not_exist_is_invalid(void **state)
{
    assert_invalid(state, DATA("countr", "id: input.id"), "{\"id\":1}", "test.yaml:6: data.c");
}

static void latchkeys_own_tables_are_refused(void **state)
{
    assert_invalid(state, DATA("latchkey.instance", "id: input.id"), "{\"id\":1}",
                   "not for workflows");
}

static void a_key_column_that_does_not_exist_is_invalid(void **state)
{
    assert_invalid(state, DATA("counter", "idd: input.id"), "{\"id\":1}", "no column 'idd'");
}

static void a_key_that_is_not_unique_is_invalid(void **state)
{
    assert_invalid(state, DATA("counter", "n: input.id"), "{\"id\":1}", "matches no unique index");
}

static void a_nil_key_is_invalid(void **state)
{
    assert_invalid(state, DATA("counter", "id: input.s"), "{\"id\":1}",
                   "test.yaml:8: data.c, key id");
}

static void a_key_of_the_wrong_type_is_invalid(void **state)
{
    assert_invalid(state, DATA("counter", "id: input.s"), "{\"id\":1,\"s\":\"x\"}", "key id");
    assert_invalid(state, DATA("counter", "id: 1.5"), "{\"id\":1}", "key id");
    assert_invalid(state, DATA("counter", "id: \"{}\""), "{\"id\":1}", "key id");
}

/* Only the database knows what a date is. */
static void a_key_that_the_database_cannot_read_is_invalid(void **state)
{
    assert_invalid(state, DATA("dated", "day: input.s"), "{\"id\":1,\"s\":\"2026-02-31\"}",
                   "2026-02-31");
    assert_invalid(state, DATA("dated", "day: input.s"), "{\"id\":1,\"s\":\"soon\"}", "soon");
    assert_invalid(state, DATA("dated", "ref: input.s"), "{\"id\":1,\"s\":\"soon\"}", "soon");
}

#define LOCK(context)                                                                              \
    "workflow: w\ninput:\n  id: integer\nstart: a\nactivities:\n  a:\n"                            \
    "    enable-exclusive-lock: true\n    lock-context: '" context "'\n    script: output.x = 1\n"

static void a_lock_context_that_is_no_key_is_invalid(void **state)
{
    assert_invalid(state, LOCK("input.nothing"), "{\"id\":1}", "test.yaml:8");
    assert_invalid(state, LOCK("{\"message\", input.nothing}"), "{\"id\":1}", "test.yaml:8");
    assert_invalid(state, LOCK("{}"), "{\"id\":1}", "test.yaml:8");
    assert_invalid(state, LOCK("\"\""), "{\"id\":1}", "test.yaml:8");
    assert_invalid(state, LOCK("input.id + 0.5"), "{\"id\":1}", "test.yaml:8");
    assert_invalid(state, LOCK("error(\"no\")"), "{\"id\":1}", "test.yaml:8");
    assert_invalid(state, LOCK("input.id.x.y"), "{\"id\":1}", "test.yaml:8");
}

/* ---- failed ---- */

static void assert_failed(void **state, const char *yaml, const char *reason)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(host, yaml, "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, reason);
    assert_nothing_kept(*state, &outcome);
    host_stop(host);
}

static void a_script_that_raises_fails_with_its_line(void **state)
{
    assert_failed(state, COUNTER("", "data.c.n = 1\n      error('what')"), "test.yaml:15: what");
    assert_failed(state, COUNTER("", "data.c.n = 1\n      local x = nil + 1"), "test.yaml:15: ");
    assert_failed(state, COUNTER("", "data.c.n = 1\n      data.c.m = 1"), "test.yaml:15: ");
    assert_failed(state, COUNTER("", "data.c.n = 1\n      data.c.n = 'x'"), "test.yaml:15: ");
}

static void a_raised_table_is_told_somehow(void **state)
{
    assert_failed(state, COUNTER("", "data.c.n = 1\n      error({code = 5})"), "");
    assert_failed(state, COUNTER("", "data.c.n = 1\n      error()"), "");
}

static void fail_gives_its_reason(void **state)
{
    assert_failed(state, COUNTER("", "data.c.n = 1; fail('no money')"), "no money");
}

static void pcall_does_not_see_fail(void **state)
{
    assert_failed(state, COUNTER("", "data.c.n = 1; pcall(fail, 'no money')"), "no money");
    assert_failed(state, COUNTER("", "pcall(function() fail('no money') end); data.c.n = 1"),
                  "no money");
}

/* A function that the library calls back cannot stop there; the execution is over all the same. */
static void fail_inside_a_callback_of_the_library_fails(void **state)
{
    assert_failed(
        state,
        COUNTER("", "pcall(string.gsub, 'a', 'a', function() fail('no money') end); data.c.n = 1"),
        "no money");
    assert_failed(
        state,
        COUNTER("", "pcall(table.sort, {2, 1}, function() fail('no money') end); data.c.n = 1"),
        "no money");
}

static void a_violated_check_fails(void **state)
{
    assert_failed(state, COUNTER("", "data.c.n = 100"), "counter_n_check");
}

static void null_for_a_column_that_is_not_null_fails(void **state)
{
    assert_failed(state, COUNTER("", "data.c.n = nil"), "test.yaml:14: ");
}

static void a_violated_foreign_key_fails(void **state)
{
    assert_failed(state, COUNTER("", "data.c.n = 1; data.c.owner = 9"), "counter_owner_fkey");
}

static void a_value_out_of_range_fails(void **state)
{
    assert_failed(state, COUNTER("", "data.c.n = 2147483648"), "test.yaml:14: ");
}

static void a_value_that_the_database_cannot_read_fails(void **state)
{
    assert_failed(state, COUNTER("", "data.c.n = 1; data.c.day = '2026-02-31'"), "2026-02-31");
    assert_failed(state, COUNTER("", "data.c.n = 1; data.c.ref = 'soon'"), "soon");
}

static void output_that_is_no_json_fails(void **state)
{
    assert_failed(state, COUNTER("", "data.c.n = 1; output.f = print or function() end"), "output");
    assert_failed(state, COUNTER("", "data.c.n = 1; output.o = output"), "output");
}

/* ---- conflict ---- */

/* A trigger-free way to be overtaken: each time the row is loaded, somebody else changes it. The
 * script cannot do that, so a lock by hand does: see a_foreign_update... in save_test.c. */

static void without_retry_a_changed_row_is_a_conflict(void **state)
{
    struct host *host = start(state);
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct workflow *workflow = host_publish(
        host, COUNTER("    on-conflict: fail\n", "sleep(0.3); data.c.n = data.c.n + 1"));
    host_submit(host, workflow, "{\"id\":1}", &outcome);
    runtime_fixture_turn(fixture, 150);
    fixture_exec(fixture->sql, "UPDATE counter SET n = 50 WHERE id = 1");
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_CONFLICT, "changed by somebody else");
    assert_history(fixture, 0, 1);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 50);
    assert_nothing_held(fixture);
    host_stop(host);
}

struct meddler {
    struct runtime_fixture *fixture;
    struct outcome *outcome;
};

static void when_retries_are_used_up_it_is_a_conflict(void **state)
{
    struct host *host = start(state);
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct workflow *workflow =
        host_publish(host, COUNTER("    acquire-timeout: 1500ms\n    waiting-timeout: 1500ms\n",
                                   "sleep(0.1); data.c.n = data.c.n + 1"));
    host_submit(host, workflow, "{\"id\":1}", &outcome);
    for (int64_t until_us = clock_monotonic_us() + 30 * 1000 * 1000;
         !outcome.told && clock_monotonic_us() < until_us;) {
        runtime_fixture_turn(fixture, 7);
        fixture_exec(fixture->sql, "UPDATE counter SET n = 50 WHERE id = 1");
    }
    assert_outcome(&outcome, STATUS_CONFLICT, "changed by somebody else");
    assert_true(outcome.attempts > 2);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 50);
    assert_history(fixture, 0, 1);
    assert_nothing_held(fixture);
    host_stop(host);
}

/* ---- locked ---- */

static void locked_for(void **state, const char *lines, int64_t least_us, int64_t most_us)
{
    char yaml[1024];
    struct host *host = start(state);
    struct runtime_fixture *fixture = *state;
    PGconn *holder = fixture_connect(fixture->conninfo);
    fixture_exec(holder, "BEGIN; SELECT latchkey.lock('counter/1')");
    snprintf(yaml, sizeof yaml, "%s%s    script: data.c.n = 1\n", COUNTER_HEAD, lines);
    struct workflow *workflow = host_publish(host, yaml);
    struct outcome mine, other;
    host_submit(host, workflow, "{\"id\":1}", &mine);
    host_submit(host, workflow, "{\"id\":2}", &other);
    runtime_fixture_wait(fixture);
    assert_outcome(&mine, STATUS_LOCKED, "no lock within the acquire timeout");
    assert_outcome(&other, STATUS_COMPLETED, "");
    assert_string_equal(mine.paths, "counter/1");
    assert_int_equal(mine.attempts, 0);
    assert_int_equal(mine.held_us, 0);
    assert_in_range(mine.waited_us, least_us, most_us);
    PQfinish(holder);
    assert_sql_text(fixture, "SELECT string_agg(n::text, ' ' ORDER BY id) FROM counter", "0 1 0");
    assert_history(fixture, 1, 2);
    assert_sql_int(fixture,
                   "SELECT count(*) FROM latchkey.execution WHERE status = 'locked'"
                   " AND paths = '{counter/1}'",
                   1);
    fixture_eventually_true(fixture->sql,
                            "SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory'"
                            " AND database = (SELECT oid FROM pg_database"
                            " WHERE datname = current_database())",
                            2000);
    host_stop(host);
}

static void with_no_acquire_time_a_held_lock_is_tried_once(void **state)
{
    locked_for(state, "    acquire-timeout: 0s\n", 0, 8 * 1000 * 1000);
}

static void a_held_lock_is_waited_for_until_the_acquire_timeout(void **state)
{
    locked_for(state, "    acquire-timeout: 100ms\n", 95000, 8 * 1000 * 1000);
}

static void a_lock_that_is_let_go_in_time_is_got(void **state)
{
    struct host *host = start(state);
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    PGconn *holder = fixture_connect(fixture->conninfo);
    fixture_exec(holder, "BEGIN; SELECT latchkey.lock('counter/1')");
    host_submit(host, host_publish(host, COUNTER("", "data.c.n = data.c.n + 1")), "{\"id\":1}",
                &outcome);
    runtime_fixture_turn(fixture, 200);
    assert_false(outcome.told);
    fixture_exec(holder, "UPDATE counter SET n = 41 WHERE id = 1; COMMIT");
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_true(outcome.waited_us > 190000);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 42);
    PQfinish(holder);
    host_stop(host);
}

/* ---- history ---- */

static void history_of(void **state, const char *kind, int n_instances, int n_executions)
{
    char yaml[1024];
    struct outcome good, bad;
    struct host *host = start(state);
    snprintf(yaml, sizeof yaml, "history: %s\n%s", kind,
             COUNTER("", "if input.id == 2 then fail() end"));
    struct workflow *workflow = host_publish(host, yaml);
    host_submit(host, workflow, "{\"id\":1}", &good);
    host_submit(host, workflow, "{\"id\":2}", &bad);
    runtime_fixture_wait(*state);
    assert_outcome(&good, STATUS_COMPLETED, "");
    assert_outcome(&bad, STATUS_FAILED, "");
    assert_history(*state, n_instances, n_executions);
    host_stop(host);
}

static void a_full_history_has_every_execution(void **state)
{
    history_of(state, "full", 1, 2);
}

static void a_history_of_failures_has_those_alone(void **state)
{
    history_of(state, "failures", 1, 1);
    assert_sql_text(*state, "SELECT status FROM latchkey.execution", "failed");
}

static void without_history_nothing_is_written(void **state)
{
    history_of(state, "none", 0, 0);
}

int outcome_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_completed_execution_keeps_its_changes),
        cmocka_unit_test(an_activity_without_a_script_completes),
        cmocka_unit_test(without_a_lock_there_are_no_paths),
        cmocka_unit_test(without_a_lock_context_the_lock_is_the_whole_system),
        cmocka_unit_test(a_false_guard_blocks),
        cmocka_unit_test(a_guard_that_fails_is_told_with_its_place),
        cmocka_unit_test(a_guard_cannot_change_data),
        cmocka_unit_test(what_a_guard_does_to_values_is_of_no_effect),
        cmocka_unit_test(no_run_sees_what_another_left),
        cmocka_unit_test(a_required_row_that_is_not_there_is_missing),
        cmocka_unit_test(a_row_that_is_not_required_may_be_nil),
        cmocka_unit_test(input_of_a_wrong_type_is_invalid),
        cmocka_unit_test(a_table_that_does_not_exist_is_invalid),
        cmocka_unit_test(latchkeys_own_tables_are_refused),
        cmocka_unit_test(a_key_column_that_does_not_exist_is_invalid),
        cmocka_unit_test(a_key_that_is_not_unique_is_invalid),
        cmocka_unit_test(a_nil_key_is_invalid),
        cmocka_unit_test(a_key_of_the_wrong_type_is_invalid),
        cmocka_unit_test(a_key_that_the_database_cannot_read_is_invalid),
        cmocka_unit_test(a_lock_context_that_is_no_key_is_invalid),
        cmocka_unit_test(a_script_that_raises_fails_with_its_line),
        cmocka_unit_test(a_raised_table_is_told_somehow),
        cmocka_unit_test(fail_gives_its_reason),
        cmocka_unit_test(pcall_does_not_see_fail),
        cmocka_unit_test(fail_inside_a_callback_of_the_library_fails),
        cmocka_unit_test(a_violated_check_fails),
        cmocka_unit_test(null_for_a_column_that_is_not_null_fails),
        cmocka_unit_test(a_violated_foreign_key_fails),
        cmocka_unit_test(a_value_out_of_range_fails),
        cmocka_unit_test(a_value_that_the_database_cannot_read_fails),
        cmocka_unit_test(output_that_is_no_json_fails),
        cmocka_unit_test(without_retry_a_changed_row_is_a_conflict),
        cmocka_unit_test(when_retries_are_used_up_it_is_a_conflict),
        cmocka_unit_test(with_no_acquire_time_a_held_lock_is_tried_once),
        cmocka_unit_test(a_held_lock_is_waited_for_until_the_acquire_timeout),
        cmocka_unit_test(a_lock_that_is_let_go_in_time_is_got),
        cmocka_unit_test(a_full_history_has_every_execution),
        cmocka_unit_test(a_history_of_failures_has_those_alone),
        cmocka_unit_test(without_history_nothing_is_written),
    };
    return cmocka_run_group_tests_name("outcome", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
