/* The locks of a batch are tried together; what is refused is one member's affair. */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    N = 8,
};

/* Counts item[id] under the paths of input.path, or under item/ID. */
#define COUNT_WITH(lines)                                                                          \
    "workflow: count\n"                                                                            \
    "input:\n"                                                                                     \
    "  id: integer\n"                                                                              \
    "  path?: array\n"                                                                             \
    "data:\n"                                                                                      \
    "  i:\n    table: item\n    key: { id: input.id }\n"                                           \
    "start: go\n"                                                                                  \
    "activities:\n"                                                                                \
    "  go:\n"                                                                                      \
    "    enable-exclusive-lock: true\n"                                                            \
    "    lock-context: 'input.path or {\"item\", input.id}'\n"                                     \
    "    waiting-timeout: 30s\n" lines "    script: data.i.n = data.i.n + 1\n"
#define PATIENT "    acquire-timeout: 30s\n"
#define ONCE "    acquire-timeout: 0s\n"

/* Updates of row 100 take a while, once the sleeper is told to. */
static const char TABLES[] = "CREATE TABLE item (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0);"
                             "INSERT INTO item SELECT generate_series(1, 10);";
static const char SLOW_ROW[] =
    "INSERT INTO item VALUES (100);"
    "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END';"
    "CREATE TRIGGER slowly BEFORE UPDATE ON item FOR EACH ROW WHEN (NEW.id = 100)"
    " EXECUTE FUNCTION slowly()";

static struct host *start(void **state)
{
    runtime_fixture_tables(*state, TABLES);
    return host_start(*state, NULL);
}

/* Executions 1 to N at once. */
static void submit_all(struct host *host, struct workflow *workflow, struct outcome *outcomes)
{
    for (int i = 0; i < N; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"id\":%d}", i + 1);
}

static void turn_until_told(struct runtime_fixture *fixture, const struct outcome *outcomes, int n)
{
    for (int i = 0; i < 1000 && count_outcomes(outcomes, N, STATUS_COMPLETED) < n; i++)
        runtime_fixture_turn(fixture, 10);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), n);
}

static void assert_n_transactions(struct runtime_fixture *fixture, int64_t n)
{
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.commit_mark WHERE NOT void", n);
}

static void put_lease(struct runtime_fixture *fixture, const char *path, const char *period)
{
    fixture_execf(fixture->sql,
                  "INSERT INTO latchkey.lease (path, token, holder, process, instance, workflow,"
                  " activity, expires_at) SELECT '%s', nextval('latchkey.lease_token'), u, u, u,"
                  " 'x', 'x', clock_timestamp() + interval '%s' FROM gen_random_uuid() AS u",
                  path, period);
}

/* ---- keys ---- */

static void who_is_refused_waits_and_the_others_complete(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcomes[N];
    PGconn *holder = fixture_connect(fixture->conninfo);
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNT_WITH(PATIENT));
    fixture_exec(holder, "BEGIN; SELECT pg_advisory_xact_lock(latchkey.lock_key('item/5'))");
    submit_all(host, workflow, outcomes);
    turn_until_told(fixture, outcomes, N - 1);
    assert_false(outcomes[4].told);
    assert_n_transactions(fixture, 1);
    assert_sql_int(fixture, "SELECT sum(n) FROM item", N - 1);
    fixture_exec(holder, "UPDATE item SET n = 40 WHERE id = 5; COMMIT");
    PQfinish(holder);
    runtime_fixture_wait(fixture);
    assert_outcome(&outcomes[4], STATUS_COMPLETED, "");
    assert_int_equal(outcomes[4].attempts, 1);
    assert_sql_int(fixture, "SELECT n FROM item WHERE id = 5", 41);
    assert_nothing_held(fixture);
    host_stop(host);
}

static void who_is_refused_what_stands_above_waits_alone_too(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcomes[N], below[2];
    PGconn *holder = fixture_connect(fixture->conninfo);
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNT_WITH(PATIENT));
    fixture_exec(holder, "BEGIN; SELECT latchkey.lock('a')");
    host_submit(host, workflow, "{\"id\":9,\"path\":[\"a\",1]}", &below[0]);
    submit_all(host, workflow, outcomes);
    host_submit(host, workflow, "{\"id\":10,\"path\":[\"a\"]}", &below[1]);
    turn_until_told(fixture, outcomes, N);
    assert_false(below[0].told);
    assert_false(below[1].told);
    assert_n_transactions(fixture, 1);
    fixture_exec(holder, "COMMIT");
    PQfinish(holder);
    runtime_fixture_wait(fixture);
    assert_outcome(&below[0], STATUS_COMPLETED, "");
    assert_outcome(&below[1], STATUS_COMPLETED, "");
    assert_sql_int(fixture, "SELECT sum(n) FROM item", N + 2);
    host_stop(host);
}

/* Who wants the whole of it is refused by a reader of a part; who wants another part is not. */
static void a_shared_key_of_somebody_else_refuses_the_exclusive_one_only(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome part, whole;
    PGconn *holder = fixture_connect(fixture->conninfo);
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNT_WITH(PATIENT));
    fixture_exec(holder, "BEGIN; SELECT latchkey.lock('a/2')");
    host_submit(host, workflow, "{\"id\":1,\"path\":[\"a\",1]}", &part);
    host_submit(host, workflow, "{\"id\":2,\"path\":[\"a\"]}", &whole);
    for (int i = 0; i < 1000 && !part.told; i++)
        runtime_fixture_turn(fixture, 10);
    assert_outcome(&part, STATUS_COMPLETED, "");
    assert_false(whole.told);
    fixture_exec(holder, "COMMIT");
    PQfinish(holder);
    runtime_fixture_wait(fixture);
    assert_outcome(&whole, STATUS_COMPLETED, "");
    host_stop(host);
}

static void all_that_try_once_but_the_refused_one_complete(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcomes[N];
    PGconn *holder = fixture_connect(fixture->conninfo);
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNT_WITH(ONCE));
    fixture_exec(holder, "BEGIN; SELECT pg_advisory_xact_lock(latchkey.lock_key('item/5'))");
    submit_all(host, workflow, outcomes);
    runtime_fixture_wait(fixture);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N - 1);
    assert_outcome(&outcomes[4], STATUS_LOCKED, "");
    assert_n_transactions(fixture, 1);
    PQfinish(holder);
    host_stop(host);
}

/* Members on one path have one try between them, and one refusal. */
static void all_on_a_refused_path_wait(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcomes[N], other;
    PGconn *holder = fixture_connect(fixture->conninfo);
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNT_WITH(PATIENT));
    fixture_exec(holder, "BEGIN; SELECT pg_advisory_xact_lock(latchkey.lock_key('item/1'))");
    for (int i = 0; i < N; i++)
        host_submit(host, workflow, "{\"id\":1}", &outcomes[i]);
    host_submit(host, workflow, "{\"id\":2}", &other);
    for (int i = 0; i < 1000 && !other.told; i++)
        runtime_fixture_turn(fixture, 10);
    assert_outcome(&other, STATUS_COMPLETED, "");
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), 0);
    fixture_exec(holder, "COMMIT");
    PQfinish(holder);
    runtime_fixture_wait(fixture);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N);
    assert_sql_int(fixture, "SELECT n FROM item WHERE id = 1", N);
    host_stop(host);
}

/* More prefixes than are remembered, and equal ones among them. */
static void prefixes_in_great_number_are_all_tried(void **state)
{
    enum { MANY = 600 };
    static struct outcome outcomes[MANY];
    struct runtime_fixture *fixture = *state;
    PGconn *holder = fixture_connect(fixture->conninfo);
    struct runtime_options options = runtime_fixture_options(fixture);
    options.batch_members_max = 2 * MANY;
    options.batch_entries_max = 10 * MANY;
    runtime_fixture_tables(fixture, TABLES);
    struct host *host = host_start(fixture, &options);
    struct workflow *workflow = host_publish(
        host, "workflow: none\ninput:\n  a: integer\n  b: integer\nstart: go\nactivities:\n"
              "  go:\n    enable-exclusive-lock: true\n"
              "    lock-context: '{\"p\" .. input.a, input.b}'\n" ONCE
              "    script: output.done = true\n");
    fixture_exec(holder, "BEGIN; SELECT latchkey.lock(array_agg('p' || g)) FROM"
                         " generate_series(280, 299) AS g");
    for (int i = 0; i < MANY; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"a\":%d,\"b\":%d}", i % 300, i);
    runtime_fixture_wait(fixture);
    for (int i = 0; i < MANY; i++)
        assert_outcome(&outcomes[i], i % 300 >= 280 ? STATUS_LOCKED : STATUS_COMPLETED, "");
    PQfinish(holder);
    host_stop(host);
}

/* ---- several paths ---- */

/* The batch is held up while its neighbour's row is updated: meanwhile somebody else may have the
 * path that it was granted beside the one that it was refused. */
static void who_is_refused_one_of_two_paths_keeps_the_other_from_nobody(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome both, slow;
    char sqlstate[6] = "";
    PGconn *holder = fixture_connect(fixture->conninfo),
           *other = fixture_connect(fixture->conninfo);
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNT_WITH(PATIENT));
    fixture_exec(fixture->sql, SLOW_ROW);
    fixture_exec(holder, "BEGIN; SELECT latchkey.lock('b')");
    host_submit(host, workflow, "{\"id\":1,\"path\":[[\"a\"],[\"b\"]]}", &both);
    host_submit(host, workflow, "{\"id\":100,\"path\":[\"c\"]}", &slow);
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND"
                          " datname = current_database()",
                          1);
    fixture_exec(other, "SET lock_timeout = '1ms'");
    fixture_exec(other, "BEGIN; SELECT latchkey.lock('a')");
    fixture_exec(other, "ROLLBACK; BEGIN");
    fixture_exec_fails(other, "SELECT latchkey.lock('c')", sqlstate); /* the batch is still there */
    assert_string_equal(sqlstate, "55P03");
    fixture_exec(other, "ROLLBACK");
    fixture_exec(holder, "COMMIT");
    runtime_fixture_wait(fixture);
    assert_outcome(&both, STATUS_COMPLETED, "");
    assert_outcome(&slow, STATUS_COMPLETED, "");
    assert_sql_int(fixture, "SELECT sum(n) FROM item", 2);
    PQfinish(holder);
    PQfinish(other);
    host_stop(host);
}

/* ---- leases ---- */

static void a_lease_in_the_way_of_one_lets_the_others_complete(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcomes[N];
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNT_WITH(PATIENT));
    put_lease(fixture, "item/5", "1 hour");
    submit_all(host, workflow, outcomes);
    turn_until_told(fixture, outcomes, N - 1);
    assert_false(outcomes[4].told);
    assert_n_transactions(fixture, 1);
    fixture_exec(fixture->sql, "DELETE FROM latchkey.lease; NOTIFY latchkey_leases, 'latchkey'");
    runtime_fixture_wait(fixture);
    assert_outcome(&outcomes[4], STATUS_COMPLETED, "");
    assert_sql_int(fixture, "SELECT sum(n) FROM item", N);
    assert_nothing_held(fixture);
    host_stop(host);
}

static void a_lease_in_the_way_of_one_that_tries_once_locks_out_that_one_only(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcomes[N];
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNT_WITH(ONCE));
    put_lease(fixture, "item/5", "1 hour");
    submit_all(host, workflow, outcomes);
    runtime_fixture_wait(fixture);
    for (int i = 0; i < N; i++)
        assert_outcome(&outcomes[i], i == 4 ? STATUS_LOCKED : STATUS_COMPLETED, "");
    fixture_exec(fixture->sql, "DELETE FROM latchkey.lease");
    host_stop(host);
}

/* A lease that is in nobody's way costs the batch nothing. */
static void a_lease_in_the_way_of_nobody_changes_nothing(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcomes[N];
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNT_WITH(ONCE));
    put_lease(fixture, "item/500", "1 hour");
    submit_all(host, workflow, outcomes);
    runtime_fixture_wait(fixture);
    assert_int_equal(count_outcomes(outcomes, N, STATUS_COMPLETED), N);
    assert_n_transactions(fixture, 1);
    fixture_exec(fixture->sql, "DELETE FROM latchkey.lease");
    host_stop(host);
}

/* The lease is met while one holds a lock that another wants: nothing stays behind. */
static void a_batch_that_met_a_lease_keeps_no_lock_meanwhile(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome leased, slow;
    PGconn *other = fixture_connect(fixture->conninfo);
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, COUNT_WITH(PATIENT));
    fixture_exec(fixture->sql, SLOW_ROW);
    put_lease(fixture, "a/b", "1 hour");
    host_submit(host, workflow, "{\"id\":1,\"path\":[\"a\"]}", &leased);
    host_submit(host, workflow, "{\"id\":100,\"path\":[\"c\"]}", &slow);
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND"
                          " datname = current_database()",
                          1);
    assert_false(leased.told);
    fixture_exec(other, "SET lock_timeout = '1ms'; BEGIN;"
                        "SELECT pg_advisory_xact_lock(latchkey.lock_key('a')); ROLLBACK");
    fixture_exec(fixture->sql, "DELETE FROM latchkey.lease; NOTIFY latchkey_leases, 'latchkey'");
    runtime_fixture_wait(fixture);
    assert_outcome(&leased, STATUS_COMPLETED, "");
    assert_outcome(&slow, STATUS_COMPLETED, "");
    PQfinish(other);
    host_stop(host);
}

int key_tries_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_refused_waits_and_the_others_complete),
        cmocka_unit_test(who_is_refused_what_stands_above_waits_alone_too),
        cmocka_unit_test(a_shared_key_of_somebody_else_refuses_the_exclusive_one_only),
        cmocka_unit_test(all_that_try_once_but_the_refused_one_complete),
        cmocka_unit_test(all_on_a_refused_path_wait),
        cmocka_unit_test(prefixes_in_great_number_are_all_tried),
        cmocka_unit_test(who_is_refused_one_of_two_paths_keeps_the_other_from_nobody),
        cmocka_unit_test(a_lease_in_the_way_of_one_lets_the_others_complete),
        cmocka_unit_test(a_lease_in_the_way_of_one_that_tries_once_locks_out_that_one_only),
        cmocka_unit_test(a_lease_in_the_way_of_nobody_changes_nothing),
        cmocka_unit_test(a_batch_that_met_a_lease_keeps_no_lock_meanwhile),
    };
    return cmocka_run_group_tests_name("key_tries", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
