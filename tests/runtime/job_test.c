/* Background jobs, events, timers, and what dies with its host. */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "pg_proxy.h"

static const char tables[] =
    "CREATE TABLE counter (id integer PRIMARY KEY, n integer NOT NULL DEFAULT 0);"
    "INSERT INTO counter SELECT i FROM generate_series(1, 10) AS i;";

#define DEAD_PROCESS "01234567-89ab-7cde-8f01-23456789abcd"

#define COUNTING(name, more, script)                                                               \
    "workflow: " name "\n"                                                                         \
    "input: {id: integer}\n"                                                                       \
    "data: {row: {table: counter, key: {id: input.id}}}\n"                                         \
    "start: add\n"                                                                                 \
    "activities:\n"                                                                                \
    "  add:\n"                                                                                     \
    "    enable-exclusive-lock: true\n"                                                            \
    "    lock-context: '{\"counter\", input.id}'\n" more "    script: |\n"                         \
    "      data.row.n = data.row.n + 1\n"                                                          \
    "      " script "\n"

static struct host *start_with(void **state, int64_t ownership_us)
{
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = runtime_fixture_options(fixture);
    options.ownership_us = ownership_us;
    return host_start(fixture, &options);
}

static struct host *start(void **state)
{
    runtime_fixture_tables(*state, tables);
    return start_with(state, 1000 * 1000);
}

static void queued_work_is_done_once_over_two_hosts(void **state)
{
    enum { N = 200 };
    static struct outcome outcomes[N];
    struct host *one = start(state), *two = start_with(state, 1000 * 1000);
    struct workflow *workflow = host_publish(one, COUNTING("count", "", ""));
    char input[40];
    for (int i = 0; i < N; i++) {
        snprintf(input, sizeof input, "{\"id\":%d}", 1 + i % 10);
        host_enqueue(one, workflow, input, 0, &outcomes[i]);
    }
    runtime_fixture_wait(*state);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_QUEUED), N);
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.job", N);
    host_work(one);
    host_work(two);
    runtime_fixture_until(*state, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_int(*state, "SELECT sum(n) FROM counter", N);
    assert_sql_int(*state, "SELECT count(DISTINCT process) FROM latchkey.execution", 2);
    /* the instance has the id that was told */
    char sql[200];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM latchkey.instance WHERE id = '%s'",
             outcomes[7].id);
    assert_sql_int(*state, sql, 1);
    host_stop(one);
    host_stop(two);
}

static void bad_input_is_not_queued(void **state)
{
    struct outcome outcome;
    struct host *host = start(state);
    host_enqueue(host, host_publish(host, COUNTING("count", "", "")), "{\"id\":\"x\"}", 0,
                 &outcome);
    runtime_fixture_wait(*state);
    assert_outcome(&outcome, STATUS_INVALID, "id");
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.job", 0);
    host_stop(host);
}

static void urgent_jobs_go_first(void **state)
{
    struct outcome outcomes[3];
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNTING("count", "", ""));
    host_enqueue(host, workflow, "{\"id\":1}", 0, &outcomes[0]);
    host_enqueue(host, workflow, "{\"id\":1}", -5, &outcomes[1]);
    host_enqueue(host, workflow, "{\"id\":1}", 9, &outcomes[2]);
    runtime_fixture_wait(*state);
    struct background_options options = runtime_default_background();
    struct fault fault;
    options.jobs_max = options.jobs_fast_max = 1;
    assert_true(runtime_work(host_runtime(host), &options, &fault));
    runtime_fixture_until(*state, "SELECT count(*) FROM latchkey.job", 0);
    char sql[400];
    snprintf(sql, sizeof sql,
             "SELECT (array_agg(instance::text ORDER BY finished_at) = "
             "ARRAY['%s', '%s', '%s'])::integer FROM latchkey.execution",
             outcomes[2].id, outcomes[0].id, outcomes[1].id);
    assert_sql_int(*state, sql, 1);
    host_stop(host);
}

static void a_job_that_always_fails_ends_dead(void **state)
{
    struct outcome outcome;
    struct host *host = start(state);
    host_enqueue(host, host_publish(host, COUNTING("count", "", "fail('no luck')")), "{\"id\":1}",
                 0, &outcome);
    runtime_fixture_wait(*state);
    fixture_exec(((struct runtime_fixture *)*state)->sql,
                 "UPDATE latchkey.job SET attempts_max = 2");
    host_work(host);
    runtime_fixture_until(*state, "SELECT count(*) FROM latchkey.job WHERE dead", 1);
    assert_sql_text(*state,
                    "SELECT concat_ws(' ', attempts, last_status, last_error) FROM latchkey.job",
                    "2 failed no luck");
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 0);
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.execution", 2);
    host_stop(host);
}

static void a_locked_job_costs_no_attempt(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *host = start(state);
    struct workflow *workflow =
        host_publish(host, COUNTING("count", "    acquire-timeout: 50ms\n", ""));
    PGconn *other = fixture_connect(fixture->conninfo);
    fixture_exec(other, "BEGIN; SELECT latchkey.lock('counter/1')");
    host_enqueue(host, workflow, "{\"id\":1}", 0, &outcome);
    host_work(host);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job WHERE last_status = 'locked'",
                          1);
    assert_sql_int(fixture, "SELECT attempts FROM latchkey.job", 0);
    PQfinish(other);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 1);
    host_stop(host);
}

static void what_cannot_succeed_ends_its_job(void **state)
{
    struct outcome outcomes[2];
    struct host *host = start(state);
    host_enqueue(host, host_publish(host, COUNTING("count", "    guard: 'false'\n", "")),
                 "{\"id\":1}", 0, &outcomes[0]);
    host_enqueue(host, host_publish(host, COUNTING("other", "", "")), "{\"id\":99}", 0,
                 &outcomes[1]);
    host_work(host);
    runtime_fixture_wait(*state);
    runtime_fixture_until(*state, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_text(*state,
                    "SELECT string_agg(status, ' ' ORDER BY status) FROM latchkey.execution",
                    "blocked missing");
    host_stop(host);
}

static void add_job(void **state, const char *id, const char *workflow, const char *version)
{
    char sql[400];
    snprintf(
        sql, sizeof sql,
        "INSERT INTO latchkey.job (id, kind, workflow, version, instance, input, attempts_max) "
        "VALUES ('%s', 'start', '%s', %s, '%s', '{\"id\": 1}', 2)",
        id, workflow, version, id);
    fixture_exec(((struct runtime_fixture *)*state)->sql, sql);
}

static void a_job_for_no_workflow_ends_dead(void **state)
{
    struct host *host = start(state);
    host_publish(host, COUNTING("count", "", ""));
    add_job(state, "01234567-89ab-7cde-8f01-000000000001", "nowhere", "NULL");
    add_job(state, "01234567-89ab-7cde-8f01-000000000002", "count", "7");
    host_work(host);
    runtime_fixture_until(*state, "SELECT count(*) FROM latchkey.job WHERE dead", 2);
    assert_sql_text(*state,
                    "SELECT string_agg(concat_ws(' ', attempts, last_status, last_error), '; ' "
                    "ORDER BY id) FROM latchkey.job",
                    "2 missing no workflow 'nowhere' is published; "
                    "2 missing workflow 'count' has no version 7");
    host_stop(host);
}

/* The job is there before its workflow, which another host publishes. */
static void a_job_waits_for_its_workflow(void **state)
{
    struct host *one = start(state), *two = start_with(state, 1000 * 1000);
    add_job(state, "01234567-89ab-7cde-8f01-000000000001", "late", "NULL");
    host_work(one);
    fixture_exec(((struct runtime_fixture *)*state)->sql,
                 "UPDATE latchkey.job SET attempts_max = 5");
    runtime_fixture_until(*state, "SELECT (attempts > 0)::integer FROM latchkey.job", 1);
    assert_sql_text(*state, "SELECT concat_ws(' ', dead, last_status) FROM latchkey.job",
                    "f missing");
    host_publish(two, COUNTING("late", "", ""));
    runtime_fixture_until(*state, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 1);
    host_stop(one);
    host_stop(two);
}

/* The claim is soft: another process has the job by now. */
static void a_job_that_was_taken_away_is_left_alone(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *host = start(state);
    struct workflow *workflow =
        host_publish(host, COUNTING("count", "", "sql(\"select nextval('runs')\")"));
    PGconn *other = fixture_connect(fixture->conninfo);
    fixture_exec(fixture->sql, "CREATE SEQUENCE runs");
    fixture_exec(other, "BEGIN; SELECT latchkey.lock('counter/1')");
    host_enqueue(host, workflow, "{\"id\":1}", 0, &outcome);
    host_work(host);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job WHERE claimed_by IS NOT NULL",
                          1);
    fixture_exec(fixture->sql,
                 "INSERT INTO latchkey.host (process, name, pid, beat_at) VALUES ('" DEAD_PROCESS
                 "', 'x', 1, clock_timestamp() + interval '1 hour')");
    /* never waits for the row: the host that holds it runs in this very thread */
    runtime_fixture_until(fixture,
                          "WITH taken AS (UPDATE latchkey.job SET claimed_by = '" DEAD_PROCESS "', "
                          "claimed_until = clock_timestamp() + interval '1 minute' WHERE id IN "
                          "(SELECT id FROM latchkey.job FOR UPDATE SKIP LOCKED) RETURNING 1) "
                          "SELECT count(*) FROM taken",
                          1);
    PQfinish(other);
    runtime_fixture_turn(fixture, 500);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 0);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.execution", 0);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.job", 1);
    /* that one falls silent: the job comes back, alone */
    fixture_exec(fixture->sql, "UPDATE latchkey.host SET beat_at = clock_timestamp() - interval "
                               "'1 hour' WHERE process = '" DEAD_PROCESS "'");
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 1);
    assert_sql_int(fixture, "SELECT last_value FROM runs", 1); /* here it did not even begin */
    host_stop(host);
}

static void a_job_that_kills_its_hosts_ends_dead(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcome;
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNTING("count", "", ""));
    host_enqueue(host, workflow, "{\"id\":1}", 0, &outcome);
    runtime_fixture_wait(fixture);
    /* as if hosts had died with it: first with neighbours, then four times alone */
    fixture_exec(fixture->sql,
                 "UPDATE latchkey.job SET alone = true, attempts = 4, claimed_by = '" DEAD_PROCESS
                 "', claimed_until = clock_timestamp()");
    host_work(host);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job WHERE dead", 1);
    assert_sql_text(fixture, "SELECT last_error FROM latchkey.job", "its host died while it ran");
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 0);
    host_stop(host);
}

/* ---- take-over ---- */

#define TWO_STEPS                                                                                  \
    COUNTING("two", "    navigation: [{to: more}]\n", "vars.x = 1")                                \
    "  more:\n"                                                                                    \
    "    script: data.row.n = data.row.n + 10 * vars.x\n"

static void the_instances_of_a_dead_host_go_on(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    struct outcome outcome;
    struct workflow *workflow = host_publish(host, TWO_STEPS);
    /* as a host leaves it that dies between two activities */
    fixture_exec(fixture->sql,
                 "INSERT INTO latchkey.instance (id, workflow, version, activity, status, input, "
                 "vars, steps, process) VALUES ('01234567-89ab-7cde-8f01-000000000001', 'two', 1, "
                 "'more', 'running', '{\"id\": 1}', '{\"x\": 1}', 1, '" DEAD_PROCESS "')");
    host_submit(host, workflow, "{\"id\":2}", &outcome);
    host_work(host);
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM latchkey.instance WHERE status = 'completed'", 2);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 10);
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 2", 11);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.job", 0);
    host_stop(host);
}

static void a_living_host_keeps_its_instances(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct host *one = start(state), *two = start_with(state, 1000 * 1000);
    struct outcome outcome;
    struct workflow *workflow = host_publish(
        one, COUNTING("two", "    navigation: [{to: more}]\n",
                      "vars.x = 1") "  more: {script: 'sleep(3) data.row.n = data.row.n + 10'}\n");
    host_submit(one, workflow, "{\"id\":1}", &outcome);
    host_work(two);
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 11);
    host_stop(one);
    host_stop(two);
}

static void add_running_two(struct runtime_fixture *fixture, const char *id, const char *process)
{
    fixture_execf(fixture->sql,
                  "INSERT INTO latchkey.instance (id, workflow, version, activity, status, input, "
                  "vars, steps, process) VALUES ('%s', 'two', 1, 'more', 'running', '{\"id\": 1}', "
                  "'{\"x\": 1}', 1, '%s')",
                  id, process);
}

/* After a time without a database every host's last beat is old. Nobody is dead. */
static void who_was_silent_himself_judges_nobody(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = runtime_fixture_options(fixture);
    struct pg_proxy *proxy;
    struct fault fault;
    runtime_fixture_tables(fixture, tables);
    assert_true(pg_proxy_start(options.conninfo, &proxy, &fault));
    options.conninfo = pg_proxy_conninfo(proxy);
    options.ownership_us = 8 * 1000 * 1000;
    struct host *host = host_start(fixture, &options);
    host_publish(host, TWO_STEPS);
    add_running_two(fixture, "01234567-89ab-7cde-8f01-000000000001",
                    "01234567-89ab-7cde-8f01-000000000099");
    host_work(host);
    /* it judges by now */
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM latchkey.instance WHERE status = 'completed'", 1);
    pg_proxy_set_away(proxy, true);
    pg_proxy_cut(proxy);
    fixture_exec(fixture->sql,
                 "INSERT INTO latchkey.host (process, name, pid, beat_at) VALUES ('" DEAD_PROCESS
                 "', 'x', 1, clock_timestamp() - interval '2 s')");
    add_running_two(fixture, "01234567-89ab-7cde-8f01-000000000002", DEAD_PROCESS);
    runtime_fixture_turn(fixture, 7500); /* what was asked before has been given up */
    pg_proxy_set_away(proxy, false);
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM latchkey.host WHERE process <> '" DEAD_PROCESS
                          "' AND beat_at > clock_timestamp() - interval '4 s'",
                          1);
    runtime_fixture_turn(fixture, 300);
    /* the other one is back too */
    fixture_exec(fixture->sql, "UPDATE latchkey.host SET beat_at = clock_timestamp() + interval "
                               "'1 minute' WHERE process = '" DEAD_PROCESS "'");
    runtime_fixture_turn(fixture, 2500);
    assert_sql_int(fixture,
                   "SELECT state_version FROM latchkey.instance WHERE process = '" DEAD_PROCESS "'",
                   1);
    /* and falls silent for good */
    fixture_exec(fixture->sql, "UPDATE latchkey.host SET beat_at = clock_timestamp() - interval "
                               "'10 s' WHERE process = '" DEAD_PROCESS "'");
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM latchkey.instance WHERE status = 'completed'", 2);
    host_stop(host);
    pg_proxy_stop(proxy);
}

/* ---- events and timers ---- */

static void add_trigger(void **state, const char *values)
{
    char sql[400];
    snprintf(sql, sizeof sql,
             "INSERT INTO latchkey.trigger (workflow, version, ordinal, event, every_ms, next_at) "
             "VALUES %s ON CONFLICT DO NOTHING",
             values);
    fixture_exec(((struct runtime_fixture *)*state)->sql, sql);
}

static void an_event_starts_the_workflows_that_name_it(void **state)
{
    struct host *host = start(state);
    host_publish(host, COUNTING("one", "", ""));
    host_publish(host, COUNTING("two", "", ""));
    add_trigger(state,
                "('one', 1, 0, 'counted', NULL, NULL), ('two', 1, 0, 'counted', NULL, NULL), "
                "('two', 1, 1, 'other', NULL, NULL)");
    struct outcome outcome = host_run(host,
                                      COUNTING("source", "",
                                               "emit('counted', {id = 5}) "
                                               "emit('nobody')"),
                                      "{\"id\":1}");
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.job", 2);
    host_work(host);
    runtime_fixture_until(*state, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 5", 2);
    host_stop(host);
}

static void an_event_of_what_failed_never_was(void **state)
{
    struct host *host = start(state);
    host_publish(host, COUNTING("one", "", ""));
    add_trigger(state, "('one', 1, 0, 'counted', NULL, NULL)");
    struct outcome outcome = host_run(
        host, COUNTING("source", "", "emit('counted', {id = 5}) fail('no')"), "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "no");
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.job", 0);
    host_stop(host);
}

static void emit_checks_its_arguments(void **state)
{
    struct host *host = start(state);
    struct outcome outcome =
        host_run(host, COUNTING("source", "", "emit('Not a name', {})"), "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "the name of an event");
    outcome = host_run(host, COUNTING("source", "", "emit('x', {1, 2})"), "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "the payload is a table of names");
    outcome =
        host_run(host, COUNTING("source", "", "for i = 1, 2000 do emit('x') end"), "{\"id\":1}");
    assert_outcome(&outcome, STATUS_FAILED, "more than 1000 events");
    host_stop(host);
}

static const char ticking[] = "workflow: tick\n"
                              "data: {row: {table: counter, key: {id: '1'}}}\n"
                              "start: add\n"
                              "activities:\n"
                              "  add: {enable-exclusive-lock: true, lock-context: '\"tick\"', "
                              "script: data.row.n = data.row.n + 1}\n";

/* Two hosts, many missed ticks: one. */
static void a_timer_fires_once_over_all_hosts(void **state)
{
    struct host *one = start(state), *two = start_with(state, 1000 * 1000);
    host_publish(one, ticking);
    add_trigger(state, "('tick', 1, 0, NULL, 3600000, clock_timestamp() - interval '5 hours')");
    host_work(one);
    host_work(two);
    runtime_fixture_until(*state, "SELECT n FROM counter WHERE id = 1", 1);
    runtime_fixture_turn(*state, 1000);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 1);
    assert_sql_int(*state,
                   "SELECT count(*) FROM latchkey.trigger WHERE next_at > clock_timestamp() AND "
                   "next_at <= clock_timestamp() + interval '1 hour'",
                   1);
    host_stop(one);
    host_stop(two);
}

int job_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queued_work_is_done_once_over_two_hosts),
        cmocka_unit_test(bad_input_is_not_queued),
        cmocka_unit_test(urgent_jobs_go_first),
        cmocka_unit_test(a_job_that_always_fails_ends_dead),
        cmocka_unit_test(a_locked_job_costs_no_attempt),
        cmocka_unit_test(what_cannot_succeed_ends_its_job),
        cmocka_unit_test(a_job_for_no_workflow_ends_dead),
        cmocka_unit_test(a_job_waits_for_its_workflow),
        cmocka_unit_test(a_job_that_was_taken_away_is_left_alone),
        cmocka_unit_test(a_job_that_kills_its_hosts_ends_dead),
        cmocka_unit_test(the_instances_of_a_dead_host_go_on),
        cmocka_unit_test(a_living_host_keeps_its_instances),
        cmocka_unit_test(who_was_silent_himself_judges_nobody),
        cmocka_unit_test(an_event_starts_the_workflows_that_name_it),
        cmocka_unit_test(an_event_of_what_failed_never_was),
        cmocka_unit_test(emit_checks_its_arguments),
        cmocka_unit_test(a_timer_fires_once_over_all_hosts),
    };
    return cmocka_run_group_tests_name("job", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
