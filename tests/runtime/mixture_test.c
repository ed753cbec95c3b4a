/* Batches whose members are of many kinds: new ones, stored ones, keyed ones, ones that wait from
 * the start, ones that come from jobs; and members that end badly beside good ones. */
#include "flow_text.h"
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char tables[] = FLOW_TABLES
    "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';";

/* One connection for work: what comes together shares a batch. */
static struct host *start(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = runtime_fixture_options(fixture);
    options.pool_size = 2;
    options.waiters = 1;
    options.ownership_us = 1000 * 1000;
    runtime_fixture_tables(fixture, tables);
    return host_start(fixture, &options);
}

static void one_batch_bears_all_kinds(void **state)
{
    enum { N = 10 };
    static struct outcome news[N], keyed[N], parked[N], queued[N], idle[N], told[N], flows[N];
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    struct workflow *plain =
        host_publish(host, FLOW_OF("plain", "", "", "") FLOW_ADD("a", "1", ""));
    struct workflow *waits =
        host_publish(host, FLOW_OF("waits", "", "", "") FLOW_ADD("a", "1", "    wait-for: go\n"));
    struct workflow *flow = host_publish(
        host, FLOW_OF("flow", "", "", "") FLOW_ADD("a", "1", FLOW_TO("b")) FLOW_ADD("b", "1", ""));
    struct workflow *quiet =
        host_publish(host, FLOW_OF("quiet", "history: none\n", "", "")
                               FLOW_ADD("a", "1", FLOW_TO("b")) FLOW_ADD("b", "1", ""));
    char input[40], key[40];
    for (int i = 0; i < N; i++)
        host_submitf(host, waits, &idle[i], "{\"id\":%d}", 1 + i);
    for (int i = 0; i < N; i++)
        host_enqueue(host, plain, "{\"id\":3}", 0, &queued[i]);
    runtime_fixture_wait(fixture);
    host_work(host);
    for (int i = 0; i < N; i++) {
        snprintf(input, sizeof input, "{\"id\":%d}", 1 + i % 3);
        snprintf(key, sizeof key, "key %d", i % 3);
        host_submit(host, plain, input, &news[i]);
        host_submit_keyed(host, plain, input, key, &keyed[i]);
        host_submit(host, waits, input, &parked[i]);
        host_submit(host, i % 2 ? flow : quiet, input, &flows[i]);
        host_deliver(host, idle[i].id, "go", NULL, &told[i]);
    }
    runtime_fixture_wait(fixture);
    runtime_fixture_until(fixture, "SELECT count(*) FROM latchkey.job", 0);
    assert_int_equal(count_outcomes(news, N, STATUS_COMPLETED), N);
    assert_int_equal(count_outcomes(keyed, N, STATUS_COMPLETED), N);
    assert_int_equal(count_outcomes(parked, N, STATUS_IDLE), N);
    assert_int_equal(count_outcomes(flows, N, STATUS_COMPLETED), N);
    assert_int_equal(count_outcomes(told, N, STATUS_COMPLETED), N);
    int n_replayed = 0;
    for (int i = 0; i < N; i++)
        n_replayed += keyed[i].replayed;
    assert_int_equal(n_replayed, N - 3);
    /* plain, keyed, flows, told, queued */
    assert_sql_int(fixture, "SELECT sum(n) FROM counter", N + 3 + 2 * N + N + N);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.instance WHERE status = 'idle'", N);
    assert_nothing_held(fixture);
    host_stop(host);
}

/* A parked one loads no rows: nobody may look for rows that it shares. */
static void one_that_waits_stands_behind_one_with_a_trigger(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome outcomes[4];
    struct host *host = start(state);
    fixture_exec(fixture->sql, "CREATE TRIGGER note BEFORE UPDATE ON counter FOR EACH ROW EXECUTE "
                               "FUNCTION note()");
    struct workflow *plain =
        host_publish(host, FLOW_OF("plain", "", "", "") FLOW_ADD("a", "1", ""));
    struct workflow *waits =
        host_publish(host, FLOW_OF("waits", "", "", "") FLOW_ADD("a", "1", "    wait-for: go\n"));
    host_submit(host, plain, "{\"id\":1}", &outcomes[0]);
    runtime_fixture_wait(fixture);
    for (int i = 0; i < 4; i++)
        host_submit(host, i % 2 ? waits : plain, "{\"id\":1}", &outcomes[i]);
    runtime_fixture_wait(fixture);
    for (int i = 0; i < 4; i++)
        assert_outcome(&outcomes[i], i % 2 ? STATUS_IDLE : STATUS_COMPLETED, "");
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 3);
    host_stop(host);
}

/* Members of one batch with one key and different inputs: each has an answer of its own. */
static void one_key_with_two_inputs_in_a_batch(void **state)
{
    enum { N = 6 };
    struct runtime_fixture *fixture = *state;
    struct outcome first, outcomes[N];
    struct host *host = start(state);
    struct workflow *plain =
        host_publish(host, FLOW_OF("plain", "", "", "") FLOW_ADD("a", "1", ""));
    host_submit_keyed(host, plain, "{\"id\":1}", "k", &first);
    runtime_fixture_wait(fixture);
    for (int i = 0; i < N; i++)
        host_submit_keyed(host, plain, i % 3 == 1 ? "{\"id\":1}" : "{\"id\":2}", "k", &outcomes[i]);
    runtime_fixture_wait(fixture);
    for (int i = 0; i < N; i++) {
        if (i % 3 == 1)
            assert_outcome(&outcomes[i], STATUS_COMPLETED, "");
        else
            assert_outcome(&outcomes[i], STATUS_INVALID, "with another input");
        assert_int_equal(outcomes[i].replayed, i % 3 == 1);
    }
    assert_sql_int(fixture, "SELECT sum(n) FROM counter", 1);
    host_stop(host);
}

/* The instance of one member was changed by somebody; its neighbours do not notice. */
static void one_that_was_overtaken_leaves_its_neighbours_alone(void **state)
{
    enum { N = 8 };
    static struct outcome idle[N], told[N], news[N];
    struct runtime_fixture *fixture = *state;
    struct host *host = start(state);
    struct workflow *plain =
        host_publish(host, FLOW_OF("plain", "", "", "") FLOW_ADD("a", "1", ""));
    struct workflow *waits =
        host_publish(host, FLOW_OF("waits", "", "", "") FLOW_ADD("a", "1", "    wait-for: go\n"));
    PGconn *other = fixture_connect(fixture->conninfo);
    for (int i = 0; i < N; i++)
        host_submitf(host, waits, &idle[i], "{\"id\":1}");
    runtime_fixture_wait(fixture);
    fixture_exec(other, "BEGIN; SELECT latchkey.lock('counter/1')");
    for (int i = 0; i < N; i++) {
        host_deliver(host, idle[i].id, "go", NULL, &told[i]);
        host_submit(host, plain, "{\"id\":1}", &news[i]);
    }
    runtime_fixture_turn(fixture, 300);
    char sql[300];
    snprintf(sql, sizeof sql,
             "UPDATE latchkey.instance SET status = 'completed', wait_for = NULL, state_version = "
             "state_version + 1 WHERE id = '%s'; DELETE FROM latchkey.instance WHERE id = '%s'",
             idle[2].id, idle[5].id);
    fixture_exec(fixture->sql, sql);
    fixture_exec(other, "COMMIT");
    runtime_fixture_wait(fixture);
    for (int i = 0; i < N; i++) {
        assert_outcome(&news[i], STATUS_COMPLETED, "");
        if (i == 2)
            assert_outcome(&told[i], STATUS_BLOCKED, "it is completed");
        else if (i == 5)
            assert_outcome(&told[i], STATUS_MISSING, "");
        else
            assert_outcome(&told[i], STATUS_COMPLETED, "");
    }
    assert_sql_int(fixture, "SELECT n FROM counter WHERE id = 1", 2 * N - 2);
    PQfinish(other);
    host_stop(host);
}

/* The instance is changed between the batch's look at it and its save: nothing of the batch is
 * kept at first, and in the end all but that one. */
static void one_that_is_overtaken_at_the_save_costs_its_neighbours_nothing(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct outcome idle, told, news[2];
    struct host *host = start(state);
    struct workflow *waits =
        host_publish(host, FLOW_OF("waits", "", "", "") FLOW_ADD("a", "1", "    wait-for: go\n"));
    struct workflow *plain =
        host_publish(host, FLOW_OF("plain", "", "", "") FLOW_ADD("a", "1", ""));
    PGconn *other = fixture_connect(fixture->conninfo);
    host_submit(host, waits, "{\"id\":1}", &idle);
    host_submit(host, plain, "{\"id\":2}", &news[0]);
    runtime_fixture_wait(fixture);
    /* the save of row 1 waits for this one, after the look at the instance */
    fixture_exec(other, "BEGIN; UPDATE counter SET n = 0 WHERE id = 1");
    host_deliver(host, idle.id, "go", NULL, &told);
    host_submit(host, plain, "{\"id\":2}", &news[0]);
    host_submit(host, plain, "{\"id\":3}", &news[1]);
    runtime_fixture_turn(fixture, 300);
    assert_false(told.told);
    fixture_exec(fixture->sql, "UPDATE latchkey.instance SET status = 'failed', wait_for = NULL, "
                               "state_version = state_version + 1 WHERE status = 'idle'");
    fixture_exec(other, "ROLLBACK");
    runtime_fixture_wait(fixture);
    assert_outcome(&told, STATUS_BLOCKED, "it is failed");
    assert_outcome(&news[0], STATUS_COMPLETED, "");
    assert_outcome(&news[1], STATUS_COMPLETED, "");
    assert_sql_text(fixture,
                    "SELECT string_agg(n::text, ' ' ORDER BY id) FROM counter "
                    "WHERE id < 4",
                    "0 2 1");
    PQfinish(other);
    host_stop(host);
}

int mixture_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_batch_bears_all_kinds),
        cmocka_unit_test(one_that_waits_stands_behind_one_with_a_trigger),
        cmocka_unit_test(one_key_with_two_inputs_in_a_batch),
        cmocka_unit_test(one_that_was_overtaken_leaves_its_neighbours_alone),
        cmocka_unit_test(one_that_is_overtaken_at_the_save_costs_its_neighbours_nothing),
    };
    return cmocka_run_group_tests_name("mixture", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
