/* What is old goes, in small steps; what is young, open or asked for stays. */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "commit_lookup.h"

#include <event2/event.h>

/* id(days, i): an id as a host drew it so long ago. Each put_ function makes rows of that age. */
static const char helpers[] =
    "CREATE TABLE present AS SELECT clock_timestamp() AS at;"
    "CREATE FUNCTION ago(days float) RETURNS timestamptz LANGUAGE sql AS"
    " $$ SELECT at - days * interval '1 day' FROM public.present $$;"
    "CREATE FUNCTION id(days float, i integer) RETURNS uuid LANGUAGE sql AS"
    " $$ SELECT (left(latchkey.id_floor(ago(days))::text, 14) || '7000-8000-' ||"
    "            lpad(to_hex(i), 12, '0'))::uuid $$;"
    "CREATE FUNCTION put_history(days float, n integer) RETURNS void LANGUAGE sql AS $$"
    " INSERT INTO latchkey.execution (instance, workflow, version, activity, status, paths,"
    "   waited_ms, held_ms, attempts, process, finished_at)"
    " SELECT id(days, i), 'w', 1, 'a', 'completed', '{}', 0, 0, 1, id(days, i), ago(days)"
    "   FROM generate_series(1, n) AS i $$;"
    "CREATE FUNCTION put_instance(days float, i integer, state text) RETURNS void LANGUAGE sql AS"
    " $$ INSERT INTO latchkey.instance (id, workflow, version, activity, status, wait_for, input,"
    "     updated_at) VALUES (id(days, i), 'w', 1, 'a', state, 'e', '{}', ago(days)) $$;"
    "CREATE FUNCTION put_key(days float, i integer) RETURNS void LANGUAGE sql AS"
    " $$ INSERT INTO latchkey.idempotency_key (workflow, key, input, instance, created_at)"
    "    VALUES ('w', days || ' ' || i, '{}', id(days, i), ago(days)) $$;"
    "CREATE FUNCTION put_job(days float, i integer, is_dead boolean) RETURNS void LANGUAGE sql AS"
    " $$ INSERT INTO latchkey.job (id, kind, workflow, instance, input, run_at, dead, claimed_by,"
    "     claimed_until) VALUES (id(days, i), 'start', 'w', id(days, i), '{}', ago(days), is_dead,"
    "     id(days, i), ago(-1)) $$;"
    "CREATE FUNCTION put_mark(days float, i integer, is_void boolean) RETURNS void LANGUAGE sql AS"
    " $$ INSERT INTO latchkey.commit_mark VALUES (id(days, i), is_void, ago(days)) $$;"
    "CREATE FUNCTION put_break(days float, path text, n integer) RETURNS void LANGUAGE sql AS $$"
    " INSERT INTO latchkey.lock_break (path, key, by, met, tokens, at)"
    " SELECT path, 1, 'somebody', '[]', '{}', ago(days) FROM generate_series(1, n) $$;"
    "CREATE FUNCTION put_host(days float, i integer) RETURNS void LANGUAGE sql AS"
    " $$ INSERT INTO latchkey.host VALUES (id(days, i), 'h', 1, ago(days), ago(days)) $$;";

static struct host *start(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = runtime_fixture_options(fixture);
    runtime_fixture_tables(fixture, "SELECT");
    struct host *host = host_start(fixture, &options); /* migrates */
    fixture_exec(fixture->sql, helpers);
    return host;
}

/* A step under way at the end may still go on in the server: it must not find the next test's rows.
 */
static void stop(struct runtime_fixture *fixture, struct host *host)
{
    host_stop(host);
    fixture_eventually_true(fixture->sql,
                            "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname ="
                            " current_database() AND application_name LIKE 'latchkey %'",
                            20000);
}

static void sweep(struct host *host, int64_t keep_ms)
{
    struct fault fault;
    struct background_options options = runtime_default_background();
    options.keep_history_ms = keep_ms;
    options.sweep_us = 20 * 1000;
    options.care_us = INT64_C(3600) * 1000 * 1000; /* nobody is taken over meanwhile */
    assert_true(runtime_work(host_runtime(host), &options, &fault));
}

/* Waits until a whole round has begun after what is there now: its last step takes a host's row. */
static void wait_for_a_round(struct runtime_fixture *fixture)
{
    for (int i = 0; i < 2; i++) {
        fixture_exec(fixture->sql, "SELECT put_host(400, 1)");
        runtime_fixture_until(fixture,
                              "SELECT count(*) FROM latchkey.host WHERE beat_at < ago(300)", 0);
    }
}

static const int64_t days_30 = INT64_C(30) * 24 * 3600 * 1000;

static void what_is_old_goes_and_what_is_young_stays(void **state)
{
    static const char *const kept[][2] = {
        {"history", "SELECT string_agg(round(extract(epoch FROM clock_timestamp() - finished_at) /"
                    " 86400)::text, ' ' ORDER BY finished_at) FROM latchkey.execution"},
        {"instances", "SELECT string_agg(round(extract(epoch FROM clock_timestamp() - updated_at) /"
                      " 86400)::text || status, ' ' ORDER BY updated_at) FROM latchkey.instance"},
        {"keys", "SELECT string_agg(key, ',' ORDER BY created_at) FROM latchkey.idempotency_key"},
        {"jobs", "SELECT string_agg(round(extract(epoch FROM clock_timestamp() - run_at) / 86400)"
                 "::text, ' ' ORDER BY run_at) FROM latchkey.job"},
    };
    static const char *const expected[] = {"29 1", "90idle 80failed 29completed", "90 1,60 6,29 1",
                                           "60 29"};
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    fixture_exec(fixture->sql,
                 "SELECT put_history(31, 1), put_history(29, 1), put_history(1, 1);"
                 "SELECT put_instance(90, 1, 'idle'), put_instance(80, 2, 'failed'),"
                 " put_instance(31, 3, 'completed'), put_instance(29, 1, 'completed');"
                 /* of an open instance, of one that is gone, of a job, of a young instance */
                 "SELECT put_key(90, 1), put_key(31, 3), put_key(60, 6), put_key(29, 1);"
                 "SELECT put_job(60, 6, false), put_job(31, 2, true), put_job(29, 3, true)");
    sweep(host, days_30);
    wait_for_a_round(fixture);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        assert_sql_text(fixture, kept[i][1], expected[i]);
    stop(fixture, host);
}

/* An instance that came long ago and completed lately keeps its row, its key and its history. */
static void age_counts_from_the_end(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    fixture_exec(fixture->sql,
                 "SELECT put_instance(90, 1, 'completed'), put_key(90, 1), put_history(90, 1);"
                 "UPDATE latchkey.instance SET updated_at = ago(2);"
                 "UPDATE latchkey.execution SET finished_at = ago(2)");
    sweep(host, days_30);
    wait_for_a_round(fixture);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.instance", 1);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.idempotency_key", 1);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.execution", 1);
    stop(fixture, host);
}

static void much_goes_in_several_steps(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    fixture_exec(fixture->sql, "SELECT put_history(40, 3500), put_history(2, 500);"
                               "CREATE TABLE step (n bigint);"
                               "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
                               " $$ BEGIN INSERT INTO public.step SELECT count(*) FROM old_rows;"
                               " RETURN NULL; END $$;"
                               "CREATE TRIGGER note AFTER DELETE ON latchkey.execution"
                               " REFERENCING OLD TABLE AS old_rows"
                               " FOR EACH STATEMENT EXECUTE FUNCTION note()");
    sweep(host, days_30);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.execution", 500);
    assert_sql_int(fixture, "SELECT max(n) FROM step", 1000);
    assert_sql_int(fixture, "SELECT count(*) FROM step WHERE n > 0", 4);
    fixture_exec(fixture->sql, "DROP TRIGGER note ON latchkey.execution");
    stop(fixture, host);
}

static void marks_outlive_every_look_up(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    fixture_exec(fixture->sql, "SELECT put_mark(2, 1, false), put_mark(2, 2, true),"
                               " put_mark(0.06, 3, false), put_mark(0.03, 4, false),"
                               " put_mark(61, 5, true)");
    sweep(host, 1); /* a millisecond: marks stay for an hour nevertheless */
    wait_for_a_round(fixture);
    assert_sql_text(fixture,
                    "SELECT string_agg(right(attempt::text, 1), ' ' ORDER BY attempt) "
                    "FROM latchkey.commit_mark",
                    "2 4");
    stop(fixture, host);
}

/* In small steps too, and never before the host of the holder has had time to ask. */
static void records_of_broken_locks_go(void **state)
{
    static const char kept[] =
        "SELECT string_agg(path || ' ' || n, ', ' ORDER BY path) FROM "
        "(SELECT path, count(*) AS n FROM latchkey.lock_break GROUP BY path) p";
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    fixture_exec(fixture->sql, "SELECT put_break(31, 'old', 2500), put_break(29, 'young', 2), "
                               "put_break(0.01, 'now', 3)");
    sweep(host, days_30);
    wait_for_a_round(fixture);
    assert_sql_text(fixture, kept, "now 3, young 2");
    stop(fixture, host);
}

static void a_break_of_this_hour_stays_whatever_is_said(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    fixture_exec(fixture->sql, "SELECT put_break(0.06, 'old', 1), put_break(0.02, 'now', 1)");
    sweep(host, 1);
    wait_for_a_round(fixture);
    assert_sql_text(fixture, "SELECT string_agg(path, ' ') FROM latchkey.lock_break", "now");
    stop(fixture, host);
}

static void for_ever_is_for_ever_but_for_marks_and_hosts(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    fixture_exec(
        fixture->sql,
        "SELECT put_history(4000, 1), put_instance(4000, 1, 'completed'),"
        " put_key(4000, 2), put_job(4000, 3, true), put_mark(2, 1, false),"
        " put_mark(0.9, 2, false), put_break(4000, 'old', 1), put_host(2, 1), put_host(0.9, 2)");
    sweep(host, 0);
    wait_for_a_round(fixture);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.execution", 1);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.instance", 1);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.idempotency_key", 1);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.job", 1);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.lock_break", 1);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.commit_mark", 1);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.host", 2); /* and this one */
    stop(fixture, host);
}

static void several_hosts_pass_by_each_other_and_by_locked_rows(void **state)
{
    enum { HOSTS = 4 };
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = runtime_fixture_options(fixture);
    struct host *hosts[HOSTS] = {start(state)};
    PGconn *other = fixture_connect(fixture->conninfo);
    fixture_exec(fixture->sql, "SELECT put_history(40, 5000);"
                               "SELECT put_key(40, i) FROM generate_series(1, 3000) AS i");
    fixture_exec(other,
                 "BEGIN; SELECT FROM latchkey.idempotency_key WHERE key = '40 7' FOR UPDATE");
    for (int i = 0; i < HOSTS; i++) {
        if (i > 0)
            hosts[i] = host_start(fixture, &options);
        sweep(hosts[i], days_30);
    }
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.execution", 0);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.idempotency_key", 1);
    fixture_exec(other, "COMMIT");
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.idempotency_key", 0);
    for (int i = 0; i < HOSTS; i++) {
        assert_null(strstr(host_log(hosts[i]), "old "));
        host_stop(hosts[i]);
    }
    PQfinish(other);
}

/* The planner may not know how old is old: the ids' index is the way all the same. */
static void a_round_with_nothing_to_do_reads_no_whole_table(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    fixture_exec(fixture->sql, "SELECT put_history(1, 20000);"
                               "SELECT put_mark(0.01, i, false) FROM generate_series(1, 20000) i;"
                               "ANALYZE latchkey.execution; ANALYZE latchkey.commit_mark;"
                               "SELECT pg_stat_force_next_flush()");
    fixture_exec(fixture->sql, "SELECT pg_stat_reset()");
    sweep(host, days_30);
    wait_for_a_round(fixture);
    for (int i = 0; i < 8; i++) /* prepared statements get generic plans after five */
        wait_for_a_round(fixture);
    runtime_fixture_until(fixture,
                          "SELECT (sum(idx_scan) > 10)::integer FROM pg_stat_user_tables WHERE"
                          " schemaname = 'latchkey' AND relname IN ('execution', 'commit_mark')",
                          1);
    assert_sql_int(fixture,
                   "SELECT (sum(seq_tup_read) < 1000)::integer FROM pg_stat_user_tables WHERE "
                   "schemaname = 'latchkey'"
                   " AND relname IN ('execution', 'commit_mark')",
                   1);
    stop(fixture, host);
}

struct told {
    bool told;
    enum commit_fact fact;
};

static void on_fact(enum commit_fact fact, void *arg)
{
    struct told *told = arg;
    told->told = true;
    told->fact = fact;
}

/* Its mark may be gone: to claim it as void would prove nothing. */
static void an_attempt_of_long_ago_is_not_asked_about(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    struct fault fault;
    char attempt[UUID_TEXT_BYTES];
    static const struct {
        const char *sql;
        enum commit_fact fact;
    } cases[] = {
        {"SELECT id(31 / 1440.0, 1)::text", COMMIT_UNKNOWN},
        {"SELECT id(25 / 1440.0, 2)::text", COMMIT_NEVER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct told told = {0};
        struct commit_lookup *lookup;
        fixture_text(fixture->sql, cases[i].sql, attempt, sizeof attempt);
        assert_true(commit_lookup_start(host_runtime(host), attempt,
                                        clock_monotonic_us() + 20 * 1000 * 1000, on_fact, &told,
                                        &lookup, &fault));
        for (int tries = 0; !told.told && tries < 3000; tries++)
            runtime_fixture_turn(fixture, 10);
        assert_true(told.told);
        assert_int_equal(told.fact, cases[i].fact);
    }
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.commit_mark WHERE attempt < id(0.02, 0)",
                   0);
    stop(fixture, host);
}

int retention_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_old_goes_and_what_is_young_stays),
        cmocka_unit_test(age_counts_from_the_end),
        cmocka_unit_test(much_goes_in_several_steps),
        cmocka_unit_test(marks_outlive_every_look_up),
        cmocka_unit_test(records_of_broken_locks_go),
        cmocka_unit_test(a_break_of_this_hour_stays_whatever_is_said),
        cmocka_unit_test(for_ever_is_for_ever_but_for_marks_and_hosts),
        cmocka_unit_test(several_hosts_pass_by_each_other_and_by_locked_rows),
        cmocka_unit_test(a_round_with_nothing_to_do_reads_no_whole_table),
        cmocka_unit_test(an_attempt_of_long_ago_is_not_asked_about),
    };
    return cmocka_run_group_tests_name("retention", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
