/* Several sessions: who excludes whom, who waits how long, who sees what. */
#include "clock.h"
#include "lock_path.h"
#include "lock_sql_database.h"
#include "locks_tests.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    ANSWER_BYTES = 128,
    N_PARTIES = 8,
    STRESS_US = 2500000,
};

static void begin(PGconn *conn)
{
    fixture_exec(conn, "BEGIN ISOLATION LEVEL READ COMMITTED");
}

static void lock(PGconn *conn, const char *path)
{
    fixture_execf(conn, "SELECT latchkey.lock('%s')", path);
}

/* True if a try of this path's locks by this session is granted. They are given back. */
static bool is_free(PGconn *conn, const char *path)
{
    char sql[512], granted[16];
    snprintf(sql, sizeof sql,
             "SELECT latchkey.try_locks(ARRAY[count(*)::integer], array_agg(key ORDER BY place),"
             " array_agg(exclusive ORDER BY place)) FROM latchkey.lock_entries(ARRAY['%s'])",
             path);
    fixture_exec(conn, "SAVEPOINT try");
    fixture_text(conn, sql, granted, sizeof granted);
    fixture_exec(conn, "ROLLBACK TO try");
    return strcmp(granted, "{t}") == 0;
}

/* Ends a wait that must end well. */
static void assert_answer(PGconn *conn, const char *expected)
{
    char sqlstate[6], value[ANSWER_BYTES];
    lock_sql_answer(conn, sqlstate, value, sizeof value);
    assert_string_equal(sqlstate, "");
    assert_string_equal(value, expected);
}

static int n_locks(struct lock_sql_database *database, PGconn *conn)
{
    char sql[128];
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = %d",
             PQbackendPID(conn));
    return (int)fixture_int(database->observer, sql);
}

static void conflicting_paths_exclude_each_other(void **state)
{
    struct lock_sql_database *database = *state;
    static const struct {
        const char *held;
        const char *tried;
        bool free;
    } cases[] = {
        {"*", "message/1", false},
        {"message/1", "*", false},
        {"message", "message/1/part/2", false},
        {"message/1", "message/1", false},
        {"message/1", "message/1/part/2", false},
        {"message/1/part/2", "message/1", false},
        {"message/1", "message/2", true},
        {"message/1/part/2", "message/1/part/3", true},
        {"*", "$instance/1", true},
        {"*", "$key/w/k", true},
        {"*", "$definitions/a", true},
        {"$instance/1", "*", true},
        {"$instance/1", "$instance/1", false},
        {"$instance/1", "$instance/2", true},
        {"$definitions", "$definitions/a", false},
        {"$definitions/a", "$definitions/b", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(database->one);
        begin(database->two);
        lock(database->one, cases[i].held);
        if (is_free(database->two, cases[i].tried) != cases[i].free)
            fail_msg("%s with %s", cases[i].held, cases[i].tried);
        fixture_exec(database->one, "COMMIT");
        assert_true(is_free(database->two, cases[i].tried));
        fixture_exec(database->two, "COMMIT");
    }
}

static void a_refused_group_keeps_none_of_its_locks(void **state)
{
    struct lock_sql_database *database = *state;
    char granted[32];
    begin(database->one);
    fixture_exec(database->one, "SELECT pg_advisory_xact_lock(30)");
    begin(database->two);
    fixture_text(database->two,
                 "SELECT latchkey.try_locks('{1,3,2,0}', '{10, 20,21,30, 40,10}', '{t,t,t,t,t,t}')",
                 granted, sizeof granted);
    assert_string_equal(granted, "{t,f,t,t}");
    assert_int_equal(n_locks(database, database->two), 2);
    assert_int_equal(fixture_int(database->observer, "SELECT pg_try_advisory_xact_lock(20)::int"
                                                     " + pg_try_advisory_xact_lock(21)::int"
                                                     " + pg_try_advisory_xact_lock(10)::int"
                                                     " + pg_try_advisory_xact_lock(40)::int"),
                     2);
    fixture_exec(database->one, "COMMIT");
    fixture_text(database->two, "SELECT latchkey.try_locks('{1,3}', '{10, 20,21,30}', '{t,t,t,t}')",
                 granted, sizeof granted);
    assert_string_equal(granted, "{t,t}");
    fixture_exec(database->two, "COMMIT");
}

static void a_group_alone_is_refused_too(void **state)
{
    struct lock_sql_database *database = *state;
    char granted[32];
    begin(database->one);
    fixture_exec(database->one, "SELECT pg_advisory_xact_lock_shared(30)");
    begin(database->two);
    fixture_text(database->two, "SELECT latchkey.try_locks('{2}', '{20,30}', '{t,t}')", granted,
                 sizeof granted);
    assert_string_equal(granted, "{f}");
    assert_int_equal(n_locks(database, database->two), 0);
    fixture_text(database->two, "SELECT latchkey.try_locks('{2}', '{20,30}', '{t,f}')", granted,
                 sizeof granted);
    assert_string_equal(granted, "{t}");
    fixture_exec(database->two, "COMMIT");
    fixture_exec(database->one, "COMMIT");
}

static void groups_that_do_not_fit_their_keys_are_an_error(void **state)
{
    struct lock_sql_database *database = *state;
    static const char *const bad[] = {
        "SELECT latchkey.try_locks('{2}', '{1}', '{t}')",
        "SELECT latchkey.try_locks('{1}', '{1,2}', '{t,t}')",
        "SELECT latchkey.try_locks('{1}', '{1}', '{t,t}')",
        "SELECT latchkey.try_locks('{1}', '{NULL}', '{t}')",
        "SELECT latchkey.try_locks('{1}', '{1}', '{NULL}')",
        "SELECT latchkey.try_locks(NULL, '{1}', '{t}')",
        "SELECT latchkey.try_locks('{1}', NULL, '{t}')",
        "SELECT latchkey.wait_locks('{1}', '{t,t}', 100)",
        "SELECT latchkey.wait_locks('{NULL}', '{t}', 100)",
        "SELECT latchkey.wait_locks(NULL, NULL, 100)",
        "SELECT latchkey.wait_locks('{1}', '{t}', 0)",
        "SELECT latchkey.wait_locks('{1}', '{t}', -1)",
        "SELECT latchkey.wait_locks('{1}', '{t}', NULL)",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char sqlstate[6];
        fixture_exec_fails(database->one, bad[i], sqlstate);
        if (strcmp(sqlstate, "22023") != 0)
            fail_msg("%s: %s", bad[i], sqlstate);
    }
}

static void a_shared_try_does_not_overtake_a_waiting_exclusive_one(void **state)
{
    struct lock_sql_database *database = *state;
    char granted[32];
    begin(database->one);
    fixture_exec(database->one, "SELECT pg_advisory_xact_lock_shared(7)");
    begin(database->two);
    lock_sql_block(database, database->two, "SELECT latchkey.wait_locks('{7}', '{t}', 10000)");
    begin(database->three);
    fixture_text(database->three, "SELECT latchkey.try_locks('{1}', '{7}', '{f}')", granted,
                 sizeof granted);
    assert_string_equal(granted, "{f}");
    fixture_exec(database->one, "COMMIT");
    assert_answer(database->two, "t");
    fixture_exec(database->two, "COMMIT");
    fixture_exec(database->three, "COMMIT");
}

static void a_budget_is_for_all_waits_together(void **state)
{
    struct lock_sql_database *database = *state;
    begin(database->one);
    fixture_exec(database->one, "SELECT pg_advisory_xact_lock(1)");
    begin(database->three);
    fixture_exec(database->three, "SELECT pg_advisory_xact_lock(2)");
    begin(database->two);
    int64_t begun_us = clock_monotonic_us();
    lock_sql_block(database, database->two, "SELECT latchkey.wait_locks('{1,2}', '{t,t}', 2000)");
    fixture_exec(database->one, "SELECT pg_sleep(1.5)");
    fixture_exec(database->one, "COMMIT");
    assert_answer(database->two, "f");
    int64_t waited_ms = (clock_monotonic_us() - begun_us) / 1000;
    assert_in_range(waited_ms, 1950, 3400); /* 3500 if each wait had the whole budget */

    /* Nothing is left of it, and the transaction lives. */
    assert_int_equal(n_locks(database, database->two), 0);
    assert_int_equal(fixture_int(database->two, "SELECT 1"), 1);
    fixture_exec(database->two, "COMMIT");
    fixture_exec(database->three, "COMMIT");
}

static void a_spent_budget_is_never_an_endless_wait(void **state)
{
    struct lock_sql_database *database = *state;
    char answer[8];
    begin(database->one);
    fixture_exec(database->one, "SELECT pg_advisory_xact_lock(1)");
    begin(database->two);
    fixture_exec(database->two, "SET LOCAL statement_timeout = '3s'");
    for (int i = 0; i < 20; i++) {
        fixture_text(database->two, "SELECT latchkey.wait_locks('{2,1}', '{t,t}', 1)", answer,
                     sizeof answer);
        assert_string_equal(answer, "f");
    }
    fixture_exec(database->two, "COMMIT");
    fixture_exec(database->one, "COMMIT");
}

static void a_wait_leaves_the_lock_timeout_as_it_was(void **state)
{
    struct lock_sql_database *database = *state;
    char setting[16];
    fixture_exec(database->two, "SET lock_timeout = '7s'");
    for (int grant = 0; grant < 2; grant++) {
        begin(database->one);
        fixture_exec(database->one, "SELECT pg_advisory_xact_lock(1)");
        begin(database->two);
        lock_sql_block(database, database->two, "SELECT latchkey.wait_locks('{1}', '{t}', 300)");
        if (grant)
            fixture_exec(database->one, "COMMIT");
        assert_answer(database->two, grant ? "t" : "f");
        fixture_text(database->two, "SHOW lock_timeout", setting, sizeof setting);
        assert_string_equal(setting, "7s");
        fixture_exec(database->two, "COMMIT");
        fixture_text(database->two, "SHOW lock_timeout", setting, sizeof setting);
        assert_string_equal(setting, "7s");
        if (!grant)
            fixture_exec(database->one, "COMMIT");
    }
}

static void a_deadlock_is_not_a_spent_budget(void **state)
{
    struct lock_sql_database *database = *state;
    char sqlstate[6], value[ANSWER_BYTES];
    fixture_exec(database->two, "SET deadlock_timeout = '50ms'");
    fixture_exec(database->one, "SET deadlock_timeout = '10s'");
    begin(database->one);
    begin(database->two);
    fixture_exec(database->one, "SELECT pg_advisory_xact_lock(1)");
    fixture_exec(database->two, "SELECT pg_advisory_xact_lock(2)");
    lock_sql_block(database, database->one, "SELECT latchkey.wait_locks('{2}', '{t}', 10000)");
    assert_true(PQsendQuery(database->two, "SELECT latchkey.wait_locks('{1}', '{t}', 10000)"));
    lock_sql_answer(database->two, sqlstate, value, sizeof value);
    assert_string_equal(sqlstate, "40P01");
    fixture_exec(database->two, "ROLLBACK");
    assert_answer(database->one, "t");
    fixture_exec(database->one, "COMMIT");
}

static void the_next_statement_sees_what_the_last_holder_committed(void **state)
{
    struct lock_sql_database *database = *state;
    fixture_exec(database->one, "CREATE TABLE message (id integer, read integer);"
                                "INSERT INTO message VALUES (1, 10)");
    begin(database->one);
    lock(database->one, "message/1");
    begin(database->two);
    lock_sql_block(database, database->two, "SELECT latchkey.lock('message/1')");
    fixture_exec(database->one, "UPDATE message SET read = 11");
    fixture_exec(database->one, "COMMIT");
    assert_answer(database->two, "");
    assert_int_equal(fixture_int(database->two, "SELECT read FROM message"), 11);
    fixture_exec(database->two, "COMMIT");
    fixture_exec(database->one, "DROP TABLE message");
}

/* The trap that the documentation warns of. Should it ever fail, the warning can go. */
static void a_statement_that_locks_and_reads_in_one_go_reads_old_data(void **state)
{
    struct lock_sql_database *database = *state;
    fixture_exec(database->one, "CREATE TABLE message (id integer, read integer);"
                                "INSERT INTO message VALUES (1, 10)");
    begin(database->one);
    lock(database->one, "message/1");
    begin(database->two);
    lock_sql_block(database, database->two,
                   "WITH locked AS MATERIALIZED (SELECT latchkey.lock('message/1'))"
                   " SELECT read FROM locked, message");
    fixture_exec(database->one, "UPDATE message SET read = 11");
    fixture_exec(database->one, "COMMIT");
    assert_answer(database->two, "10");
    fixture_exec(database->two, "COMMIT");
    fixture_exec(database->one, "DROP TABLE message");
}

/* Paths in the order of their texts, each with its prefixes before it: {a-b, a/1} against {a, a-b}.
 * "-" is before "/", so the first takes a-b and then a, and the second a and then a-b. */
static void the_order_of_whole_texts_deadlocks(void **state)
{
    struct lock_sql_database *database = *state;
    char sqlstate[6], value[ANSWER_BYTES];
    fixture_exec(database->one, "SET deadlock_timeout = '10s'");
    fixture_exec(database->two, "SET deadlock_timeout = '50ms'");
    begin(database->one);
    fixture_exec(database->one, "SELECT pg_advisory_xact_lock_shared(latchkey.lock_key('*')),"
                                " pg_advisory_xact_lock(latchkey.lock_key('a-b'))");
    begin(database->two);
    fixture_exec(database->two, "SELECT pg_advisory_xact_lock_shared(latchkey.lock_key('*')),"
                                " pg_advisory_xact_lock(latchkey.lock_key('a'))");
    lock_sql_block(database, database->one,
                   "SELECT pg_advisory_xact_lock_shared(latchkey.lock_key('a'))");
    assert_true(
        PQsendQuery(database->two, "SELECT pg_advisory_xact_lock(latchkey.lock_key('a-b'))"));
    lock_sql_answer(database->two, sqlstate, value, sizeof value);
    assert_string_equal(sqlstate, "40P01");
    fixture_exec(database->two, "ROLLBACK");
    assert_answer(database->one, "");
    fixture_exec(database->one, "COMMIT");
}

/* The same two sets through lock(): the second waits for the first while holding nothing of it. */
static void the_total_order_does_not_deadlock(void **state)
{
    struct lock_sql_database *database = *state;
    begin(database->one);
    lock(database->one, "a/1");
    begin(database->two);
    lock_sql_block(database, database->two, "SELECT latchkey.lock(ARRAY['a-b', 'a'])");
    /* one's set is {a-b, a/1}: a-b comes last, and two cannot have it yet. */
    lock(database->one, "a-b");
    fixture_exec(database->one, "COMMIT");
    assert_answer(database->two, "");
    fixture_exec(database->two, "COMMIT");
}

struct party {
    pthread_t thread;
    const char *conninfo;
    const char *paths;
    int n_taken;
    char failure[256];
};

static void *take_for_a_while(void *arg)
{
    struct party *party = arg;
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT latchkey.lock('%s'::text[])", party->paths);
    const char *const statements[] = {"BEGIN ISOLATION LEVEL READ COMMITTED", sql, "COMMIT"};
    PGconn *conn = PQconnectdb(party->conninfo);
    PQclear(PQexec(conn, "SET deadlock_timeout = '20ms'; SET statement_timeout = '10s'"));
    int64_t end_us = clock_monotonic_us() + STRESS_US;
    while (!party->failure[0] && clock_monotonic_us() < end_us) {
        for (int i = 0; i < 3 && !party->failure[0]; i++) {
            PGresult *result = PQexec(conn, statements[i]);
            if (PQresultStatus(result) == PGRES_FATAL_ERROR)
                snprintf(party->failure, sizeof party->failure, "%s", PQerrorMessage(conn));
            PQclear(result);
        }
        party->n_taken++;
    }
    PQfinish(conn);
    return NULL;
}

static void eight_parties_never_deadlock(void **state)
{
    struct lock_sql_database *database = *state;
    static const char *const sets[] = {"{a-b,a/1}", "{a,a-b}", "{a/2,a-b,a/1}", "{b,a-b/1,a}"};
    struct party parties[N_PARTIES] = {0};
    for (int i = 0; i < N_PARTIES; i++) {
        parties[i].conninfo = database->conninfo;
        parties[i].paths = sets[i % 4];
        assert_int_equal(pthread_create(&parties[i].thread, NULL, take_for_a_while, &parties[i]),
                         0);
    }
    for (int i = 0; i < N_PARTIES; i++)
        pthread_join(parties[i].thread, NULL);
    for (int i = 0; i < N_PARTIES; i++) {
        assert_string_equal(parties[i].failure, "");
        assert_in_range(parties[i].n_taken, 5, 1000000);
    }
}

int lock_sql_wait_tests(void)
{
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, lock_sql_database_connect, lock_sql_database_disconnect)
    const struct CMUnitTest tests[] = {
        TEST(conflicting_paths_exclude_each_other),
        TEST(a_refused_group_keeps_none_of_its_locks),
        TEST(a_group_alone_is_refused_too),
        TEST(groups_that_do_not_fit_their_keys_are_an_error),
        TEST(a_shared_try_does_not_overtake_a_waiting_exclusive_one),
        TEST(a_budget_is_for_all_waits_together),
        TEST(a_spent_budget_is_never_an_endless_wait),
        TEST(a_wait_leaves_the_lock_timeout_as_it_was),
        TEST(a_deadlock_is_not_a_spent_budget),
        TEST(the_next_statement_sees_what_the_last_holder_committed),
        TEST(a_statement_that_locks_and_reads_in_one_go_reads_old_data),
        TEST(the_order_of_whole_texts_deadlocks),
        TEST(the_total_order_does_not_deadlock),
        TEST(eight_parties_never_deadlock),
    };
#undef TEST
    return cmocka_run_group_tests_name("lock_sql_wait", tests, lock_sql_database_create,
                                       lock_sql_database_drop);
}
