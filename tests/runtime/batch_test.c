/* Many executions in one transaction must look as if each had run alone, in their order. */
#include "pg_proxy.h"
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    N = 64,
    LARGEST = 3000,
};

/* One row's log, which each execution extends by its number. */
#define JOURNAL(lines, script)                                                                     \
    "workflow: journal\n"                                                                          \
    "input:\n"                                                                                     \
    "  id: integer\n"                                                                              \
    "  n: integer\n"                                                                               \
    "data:\n"                                                                                      \
    "  j:\n"                                                                                       \
    "    table: journal\n"                                                                         \
    "    key: { id: input.id }\n"                                                                  \
    "start: go\n"                                                                                  \
    "activities:\n"                                                                                \
    "  go:\n"                                                                                      \
    "    enable-exclusive-lock: true\n"                                                            \
    "    lock-context: '{\"journal\", input.id}'\n"                                                \
    "    acquire-timeout: 30s\n" lines "    script: |\n" script "\n"

#define APPEND "      data.j.log = data.j.log .. input.n .. ' '\n"

static const char TABLES[] =
    "CREATE TABLE journal (id int PRIMARY KEY, log text NOT NULL DEFAULT '',"
    " v int NOT NULL DEFAULT 0 CHECK (v >= 0), n int NOT NULL DEFAULT 0, title varchar(20));"
    "INSERT INTO journal (id) SELECT generate_series(1, 100)";

static struct host *start(void **state)
{
    runtime_fixture_tables(*state, TABLES);
    return host_start(*state, NULL);
}

/* Submits n executions at once: input.n counts them from 1. rows: how many rows they take turns on.
 */
static void run_many(struct host *host, struct runtime_fixture *fixture, const char *yaml, int rows,
                     int n, struct outcome *outcomes)
{
    struct workflow *workflow = host_publish(host, yaml);
    for (int i = 0; i < n; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"id\":%d,\"n\":%d}", i % rows + 1, i + 1);
    runtime_fixture_wait(fixture);
}

static void assert_n_transactions(struct runtime_fixture *fixture, int64_t n)
{
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.commit_mark WHERE NOT void", n);
}

/* So that the server works on one batch while the host works on another. */
static void what_is_ready_is_shared_among_the_connections(void **state)
{
    enum { SOME = 12, EACH = 4 };
    struct outcome outcomes[SOME];
    struct runtime_options options = runtime_fixture_options(*state);
    options.batch_share_least = EACH;
    runtime_fixture_tables(*state, TABLES);
    struct host *host = host_start(*state, &options);
    run_many(host, *state, JOURNAL("", APPEND), SOME, SOME, outcomes);
    assert_int_equal(count_outcomes(outcomes, SOME, STATUS_COMPLETED), SOME);
    assert_sql_int(*state,
                   "SELECT (count(*) > 1)::integer FROM latchkey.commit_mark WHERE NOT void", 1);
    host_stop(host);
}

/* One by one they would cost the server a transaction each. */
static void a_few_wait_a_little_for_a_large_batch(void **state)
{
    enum { FEW = 3 };
    struct runtime_fixture *fixture = *state;
    struct outcome outcomes[N], few[FEW];
    struct pg_proxy *proxy;
    struct fault fault;
    if (!pg_proxy_start(fixture->conninfo, &proxy, &fault))
        fail_msg("%s", fault.text);
    struct runtime_options options = runtime_fixture_options(fixture);
    options.conninfo = pg_proxy_conninfo(proxy);
    options.batch_linger_us = 500 * 1000;
    runtime_fixture_tables(fixture, TABLES);
    struct host *host = host_start(fixture, &options);
    struct workflow *workflow = host_publish(host, JOURNAL("", APPEND));
    pg_proxy_strike(proxy, PG_PROXY_HOLD_BEFORE_COMMIT, 0, 1);
    for (int i = 0; i < N; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"id\":%d,\"n\":1}", i + 1);
    for (int i = 0; i < 1000 && !pg_proxy_n_struck(proxy); i++)
        runtime_fixture_turn(fixture, 10);
    for (int i = 0; i < FEW; i++) {
        host_submitf(host, workflow, &few[i], "{\"id\":%d,\"n\":1}", N + 1 + i);
        runtime_fixture_turn(fixture, 10);
    }
    for (int i = 0; i < 1000 && !count_outcomes(few, FEW, STATUS_COMPLETED); i++)
        runtime_fixture_turn(fixture, 10);
    assert_int_equal(count_outcomes(few, FEW, STATUS_COMPLETED), FEW); /* but not for ever */
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), 0);
    assert_n_transactions(fixture, 1);
    pg_proxy_thaw(proxy);
    runtime_fixture_wait(fixture);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N);
    host_stop(host);
    pg_proxy_stop(proxy);
}

static void assert_log(struct runtime_fixture *fixture, int n, const int *without, int n_without)
{
    char expected[2048] = "";
    size_t at = 0;
    for (int i = 1; i <= n; i++) {
        bool left_out = false;
        for (int w = 0; w < n_without; w++)
            left_out = left_out || without[w] == i;
        if (!left_out)
            at += (size_t)snprintf(expected + at, sizeof expected - at, "%d ", i);
    }
    assert_sql_text(fixture, "SELECT log FROM journal WHERE id = 1", expected);
}

static void executions_of_one_path_share_a_transaction_in_their_order(void **state)
{
    struct outcome outcomes[N];
    struct host *host = start(state);
    run_many(host, *state, JOURNAL("", APPEND), 1, N, outcomes);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N);
    assert_log(*state, N, NULL, 0);
    assert_n_transactions(*state, 1);
    for (int i = 0; i < N; i++) {
        assert_int_equal(outcomes[i].turn, i);
        assert_int_equal(outcomes[i].attempts, 1);
    }
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.instance", N);
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.execution", N);
    assert_nothing_held(*state);
    host_stop(host);
}

static void executions_of_many_paths_share_a_transaction(void **state)
{
    struct outcome outcomes[N];
    struct host *host = start(state);
    run_many(host, *state, JOURNAL("", "      data.j.n = data.j.n + 1\n"), 32, N, outcomes);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N);
    assert_sql_int(*state, "SELECT count(*) FROM journal WHERE n = 2", 32);
    assert_n_transactions(*state, 1);
    assert_nothing_held(*state);
    host_stop(host);
}

static void a_batch_has_no_more_members_than_it_may(void **state)
{
    struct outcome outcomes[N];
    runtime_fixture_tables(*state, TABLES);
    struct runtime_options options = runtime_fixture_options(*state);
    options.batch_members_max = 21;
    struct host *host = host_start(*state, &options);
    run_many(host, *state, JOURNAL("", APPEND), 1, N, outcomes);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N);
    assert_log(*state, N, NULL, 0);
    assert_n_transactions(*state, 4); /* 21, 21, 21, 1 */
    host_stop(host);
}

static void a_batch_has_no_more_lock_entries_than_it_may(void **state)
{
    struct outcome outcomes[N];
    runtime_fixture_tables(*state, TABLES);
    struct runtime_options options = runtime_fixture_options(*state);
    options.batch_entries_max = 63; /* three entries each: *, journal, journal/ID */
    struct host *host = host_start(*state, &options);
    run_many(host, *state, JOURNAL("", APPEND), 1, N, outcomes);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N);
    assert_log(*state, N, NULL, 0);
    assert_n_transactions(*state, 4); /* 21, 21, 21, 1 */
    host_stop(host);
}

static void a_very_large_batch_is_exact(void **state)
{
    static struct outcome outcomes[LARGEST];
    runtime_fixture_tables(*state, TABLES);
    struct runtime_options options = runtime_fixture_options(*state);
    options.batch_members_max = LARGEST;
    options.batch_entries_max = 10 * LARGEST;
    struct host *host = host_start(*state, &options);
    run_many(host, *state, JOURNAL("", "      data.j.n = data.j.n + 1\n"), 100, LARGEST, outcomes);
    assert_int_equal(count_outcomes(outcomes, LARGEST, STATUS_COMPLETED), LARGEST);
    assert_sql_int(*state, "SELECT count(*) FROM journal WHERE n = 30", 100);
    assert_n_transactions(*state, 1);
    host_stop(host);
}

/* ---- one bad member among good ones ---- */

static void a_member_that_raises_is_alone_in_failing(void **state)
{
    struct outcome outcomes[N];
    const int without[] = {10};
    struct host *host = start(state);
    run_many(host, *state, JOURNAL("", APPEND "      if input.n == 10 then error('ten') end\n"), 1,
             N, outcomes);
    assert_outcome(&outcomes[9], STATUS_FAILED, "ten");
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N - 1);
    assert_log(*state, N, without, 1);
    assert_n_transactions(*state, 1);
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.instance", N - 1);
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.execution", N);
    host_stop(host);
}

static void a_member_whose_guard_is_false_is_alone_in_being_blocked(void **state)
{
    struct outcome outcomes[N];
    struct host *host = start(state);
    run_many(host, *state, JOURNAL("    guard: data.j.n < 60\n", "      data.j.n = data.j.n + 1\n"),
             1, N, outcomes);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), 60);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_BLOCKED), 4);
    for (int i = 60; i < N; i++)
        assert_outcome(&outcomes[i], STATUS_BLOCKED, "guard");
    assert_sql_int(*state, "SELECT n FROM journal WHERE id = 1", 60);
    assert_n_transactions(*state, 1);
    host_stop(host);
}

static void a_member_that_the_database_refuses_fails_alone(void **state)
{
    struct outcome outcomes[N];
    const int without[] = {30};
    struct host *host = start(state);
    run_many(host, *state,
             JOURNAL("", APPEND "      data.j.v = input.n == 30 and -1 or data.j.v + 1\n"), 1, N,
             outcomes);
    assert_outcome(&outcomes[29], STATUS_FAILED, "journal_v_check");
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N - 1);
    assert_log(*state, N, without, 1);
    assert_sql_int(*state, "SELECT v FROM journal WHERE id = 1", N - 1);
    for (int i = 0; i < N; i++)
        assert_true(i == 29 || outcomes[i].attempts <= 2);
    assert_nothing_held(*state);
    host_stop(host);
}

static void a_member_that_loops_fails_alone(void **state)
{
    struct outcome outcomes[N];
    const int without[] = {20};
    struct host *host = start(state);
    run_many(host, *state, JOURNAL("", APPEND "      while input.n == 20 do end\n"), 1, N,
             outcomes);
    assert_outcome(&outcomes[19], STATUS_FAILED, "instructions");
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N - 1);
    assert_log(*state, N, without, 1);
    host_stop(host);
}

static void a_member_that_eats_memory_fails_alone(void **state)
{
    struct outcome outcomes[N];
    const int without[] = {20};
    struct host *host = start(state);
    run_many(host, *state,
             JOURNAL("", APPEND "      local s = 'x'\n"
                                "      while input.n == 20 do s = s .. s end\n"),
             1, N, outcomes);
    assert_outcome(&outcomes[19], STATUS_FAILED, "memory");
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N - 1);
    assert_log(*state, N, without, 1);
    host_stop(host);
}

static void a_member_whose_key_is_wrong_is_alone_in_being_invalid(void **state)
{
    struct outcome outcomes[N];
    struct host *host = start(state);
    run_many(host, *state,
             "workflow: w\ninput:\n  id: integer\n  n: integer\ndata:\n  j:\n    table: journal\n"
             "    key: { id: input.n ~= 5 and input.id or nil }\nstart: go\nactivities:\n  go:\n"
             "    enable-exclusive-lock: true\n    lock-context: '{\"journal\", input.id}'\n"
             "    script: data.j.n = data.j.n + 1\n",
             1, N, outcomes);
    assert_outcome(&outcomes[4], STATUS_INVALID, "key id");
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N - 1);
    assert_sql_int(*state, "SELECT n FROM journal WHERE id = 1", N - 1);
    assert_n_transactions(*state, 1);
    host_stop(host);
}

/* The first is refused and keeps its place; the second, behind it, has ended by then. */
static void a_member_may_end_behind_one_that_is_refused(void **state)
{
    struct outcome outcomes[3];
    struct host *host = start(state);
    struct runtime_fixture *fixture = *state;
    PGconn *holder = fixture_connect(fixture->conninfo);
    fixture_exec(holder, "BEGIN; SELECT latchkey.lock('journal/1')");
    struct workflow *workflow = host_publish(
        host, "workflow: w\ninput:\n  id: integer\n  n: integer\ndata:\n  j:\n"
              "    table: journal\n    key: { id: input.n ~= 2 and input.id or nil }\nstart: go\n"
              "activities:\n  go:\n    enable-exclusive-lock: true\n"
              "    lock-context: '{\"journal\", input.id}'\n"
              "    script: data.j.n = data.j.n * 10 + input.n\n");
    for (int i = 0; i < 3; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"id\":1,\"n\":%d}", i + 1);
    runtime_fixture_turn(fixture, 100);
    fixture_exec(holder, "COMMIT");
    PQfinish(holder);
    runtime_fixture_wait(fixture);
    assert_outcome(&outcomes[0], STATUS_COMPLETED, "");
    assert_outcome(&outcomes[1], STATUS_INVALID, "key id");
    assert_outcome(&outcomes[2], STATUS_COMPLETED, "");
    assert_sql_int(fixture, "SELECT n FROM journal WHERE id = 1", 13);
    host_stop(host);
}

/* The third fails the transaction; the second had been blocked by what the first had not saved. */
static void who_was_blocked_by_what_is_undone_is_asked_again(void **state)
{
    struct outcome outcomes[3];
    struct host *host = start(state);
    run_many(host, *state,
             JOURNAL("    guard: data.j.n == 0\n", "      if input.n == 1 then data.j.v = -1 end\n"
                                                   "      data.j.n = input.n\n"),
             1, 3, outcomes);
    assert_outcome(&outcomes[0], STATUS_FAILED, "journal_v_check");
    assert_outcome(&outcomes[1], STATUS_COMPLETED, "");
    assert_outcome(&outcomes[2], STATUS_BLOCKED, "guard");
    assert_sql_int(*state, "SELECT n FROM journal WHERE id = 1", 2);
    host_stop(host);
}

static void a_member_without_its_row_is_alone_in_being_missing(void **state)
{
    static struct outcome outcomes[101];
    struct host *host = start(state);
    run_many(host, *state, JOURNAL("", "      data.j.n = data.j.n + 1\n"), 101, 101, outcomes);
    assert_outcome(&outcomes[100], STATUS_MISSING, "no such row");
    assert_int_equal(count_outcomes(outcomes, 101, STATUS_COMPLETED), 100);
    assert_n_transactions(*state, 1);
    host_stop(host);
}

static void four_bad_members_leave_sixty_good_ones(void **state)
{
    struct outcome outcomes[N];
    const int without[] = {10, 20, 30, 40};
    struct host *host = start(state);
    run_many(host, *state,
             JOURNAL("    waiting-timeout: 300ms\n    guard: input.n ~= 20\n",
                     APPEND "      if input.n == 10 then error('ten') end\n"
                            "      if input.n == 30 then data.j.v = -1 end\n"
                            "      if input.n == 40 then sleep(5) end\n"),
             1, N, outcomes);
    assert_outcome(&outcomes[9], STATUS_FAILED, "ten");
    assert_outcome(&outcomes[19], STATUS_BLOCKED, "guard");
    assert_outcome(&outcomes[29], STATUS_FAILED, "journal_v_check");
    assert_outcome(&outcomes[39], STATUS_EXPIRED, "waiting timeout");
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N - 4);
    assert_log(*state, N, without, 4);
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.instance", N - 4);
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.execution", N);
    assert_nothing_held(*state);
    host_stop(host);
}

/* ---- leaving the batch ---- */

static void a_script_that_asks_runs_alone_from_its_beginning(void **state)
{
    struct outcome outcomes[N];
    struct host *host = start(state);
    run_many(host, *state,
             JOURNAL("", "      data.j.n = data.j.n + 1\n"
                         "      log.info('seen ' .. input.n)\n"
                         "      sql('UPDATE journal SET log = log || $1 WHERE id = $2',"
                         " input.n .. ' ', input.id)\n"),
             1, N, outcomes);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N);
    assert_log(*state, N, NULL, 0);
    assert_sql_int(*state, "SELECT n FROM journal WHERE id = 1", N);
    assert_n_transactions(*state, N);
    /* Only the very first tried in company; then it is known. */
    assert_int_equal(outcomes[0].attempts, 2);
    for (int i = 1; i < N; i++)
        assert_int_equal(outcomes[i].attempts, 1);
    /* What was logged before it left the batch is not logged twice. */
    const char *first = strstr(host_log(host), "seen 1 workflow=");
    assert_non_null(first);
    assert_null(strstr(first + 1, "seen 1 workflow="));
    host_stop(host);
}

static void a_script_that_takes_long_leaves_the_batch(void **state)
{
    struct outcome outcomes[N];
    struct host *host = start(state);
    run_many(host, *state,
             JOURNAL("", APPEND "      if input.n % 16 == 0 then\n"
                                "        for i = 1, 1000000 do local x = i end\n"
                                "      end\n"),
             1, N, outcomes);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N);
    assert_log(*state, N, NULL, 0);
    host_stop(host);
}

/* ---- what a member logs ---- */

/* The batch fails as a whole, and all run again: what they logged then did not happen. */
static void log_lines_are_written_once_for_each_outcome(void **state)
{
    struct outcome outcomes[8];
    struct host *host = start(state);
    run_many(host, *state,
             JOURNAL("", "      log.info('line of ' .. input.n)\n"
                         "      data.j.v = input.n == 8 and -1 or 1\n"),
             1, 8, outcomes);
    assert_int_equal(count_outcomes(outcomes, 8, STATUS_COMPLETED), 7);
    for (int i = 1; i <= 8; i++) {
        char line[32];
        snprintf(line, sizeof line, "line of %d workflow=", i);
        const char *found = strstr(host_log(host), line);
        assert_non_null(found);
        assert_null(strstr(found + 1, line));
    }
    host_stop(host);
}

static void globals_of_one_run_are_not_those_of_the_next(void **state)
{
    struct outcome outcomes[8];
    struct host *host = start(state);
    run_many(host, *state,
             JOURNAL("", "      if seen then error('seen') end\n"
                         "      seen = true\n"
                         "      string.seen = nil\n"),
             8, 8, outcomes);
    for (int i = 0; i < 8; i++)
        assert_true(outcomes[i].status == STATUS_FAILED); /* string is protected */
    run_many(host, *state,
             JOURNAL("", "      if seen or output.x then error('seen') end\n"
                         "      seen = true\n"
                         "      output.x = 1\n"),
             8, 8, outcomes);
    assert_int_equal(count_outcomes(outcomes, 8, STATUS_COMPLETED), 8);
    host_stop(host);
}

/* An outcome without output after a run that had one. */
static void output_of_a_run_that_was_undone_is_forgotten(void **state)
{
    struct host *host = start(state);
    struct outcome outcome = host_run(
        host, JOURNAL("", "      output.x = 1\n      data.j.v = -1\n"), "{\"id\":1,\"n\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "journal_v_check");
    assert_string_equal(outcome.output, "");
    host_stop(host);
}

int batch_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(executions_of_one_path_share_a_transaction_in_their_order),
        cmocka_unit_test(executions_of_many_paths_share_a_transaction),
        cmocka_unit_test(what_is_ready_is_shared_among_the_connections),
        cmocka_unit_test(a_few_wait_a_little_for_a_large_batch),
        cmocka_unit_test(a_batch_has_no_more_members_than_it_may),
        cmocka_unit_test(a_batch_has_no_more_lock_entries_than_it_may),
        cmocka_unit_test(a_very_large_batch_is_exact),
        cmocka_unit_test(a_member_that_raises_is_alone_in_failing),
        cmocka_unit_test(a_member_whose_guard_is_false_is_alone_in_being_blocked),
        cmocka_unit_test(a_member_that_the_database_refuses_fails_alone),
        cmocka_unit_test(a_member_that_loops_fails_alone),
        cmocka_unit_test(a_member_that_eats_memory_fails_alone),
        cmocka_unit_test(a_member_whose_key_is_wrong_is_alone_in_being_invalid),
        cmocka_unit_test(a_member_may_end_behind_one_that_is_refused),
        cmocka_unit_test(who_was_blocked_by_what_is_undone_is_asked_again),
        cmocka_unit_test(a_member_without_its_row_is_alone_in_being_missing),
        cmocka_unit_test(four_bad_members_leave_sixty_good_ones),
        cmocka_unit_test(a_script_that_asks_runs_alone_from_its_beginning),
        cmocka_unit_test(a_script_that_takes_long_leaves_the_batch),
        cmocka_unit_test(log_lines_are_written_once_for_each_outcome),
        cmocka_unit_test(globals_of_one_run_are_not_those_of_the_next),
        cmocka_unit_test(output_of_a_run_that_was_undone_is_forgotten),
    };
    return cmocka_run_group_tests_name("batch", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
