/* What a host claims of the queue: in which order, how many, and what it gives back unbegun. */
#include "runtime_fixture.h"
#include "runtime_tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum {
    N_FAST = 40,
    N_BEHIND = 20,
};

static const char tables[] =
    "CREATE TABLE counter (id integer PRIMARY KEY, n bigint NOT NULL DEFAULT 0);"
    "INSERT INTO counter SELECT i FROM generate_series(1, 10) AS i;";

/* The digits are told in the order in which the jobs ran. */
static const char writing[] = "workflow: write\n"
                              "input: {id: integer, digit: integer}\n"
                              "data: {row: {table: counter, key: {id: input.id}}}\n"
                              "start: add\n"
                              "activities:\n"
                              "  add:\n"
                              "    enable-exclusive-lock: true\n"
                              "    lock-context: '{\"counter\", input.id}'\n"
                              "    script: data.row.n = data.row.n * 10 + input.digit\n";

static const char counting[] = "workflow: count\n"
                               "input: {id: integer}\n"
                               "data: {row: {table: counter, key: {id: input.id}}}\n"
                               "start: add\n"
                               "activities:\n"
                               "  add:\n"
                               "    enable-exclusive-lock: true\n"
                               "    lock-context: '{\"counter\", input.id}'\n"
                               "    script: data.row.n = data.row.n + 1\n";

static struct host *start(void **state)
{
    struct runtime_options options = runtime_fixture_options(*state);
    runtime_fixture_tables(*state, tables);
    return host_start(*state, &options);
}

static void work(struct host *host, int jobs_max)
{
    struct background_options options = runtime_default_background();
    struct fault fault;
    options.jobs_max = options.jobs_fast_max = jobs_max;
    assert_true(runtime_work(host_runtime(host), &options, &fault));
}

/* One claim takes all; they lie in the table in another order. */
static void the_jobs_of_one_claim_run_in_their_order(void **state)
{
    struct outcome outcomes[4];
    struct host *host = start(state);
    struct workflow *workflow = host_publish(host, writing);
    host_enqueue(host, workflow, "{\"id\":1, \"digit\":3}", 1, &outcomes[0]);
    host_enqueue(host, workflow, "{\"id\":1, \"digit\":4}", 0, &outcomes[1]);
    host_enqueue(host, workflow, "{\"id\":1, \"digit\":1}", 9, &outcomes[2]);
    host_enqueue(host, workflow, "{\"id\":1, \"digit\":2}", 1, &outcomes[3]);
    runtime_fixture_wait(*state);
    fixture_exec(((struct runtime_fixture *)*state)->sql,
                 "UPDATE latchkey.job SET run_at = run_at - interval '1 hour' "
                 "WHERE input->>'digit' = '2'");
    work(host, 64);
    runtime_fixture_until(*state, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 1234);
    host_stop(host);
}

/* Some that go fast, so that more are claimed ahead; three that wait for a lock of counter 2, which
 * somebody else has; and what is queued behind them. */
static PGconn *queue_all(void **state, struct host *host)
{
    static struct outcome outcomes[N_FAST + 3 + N_BEHIND];
    struct runtime_fixture *fixture = *state;
    struct workflow *workflow = host_publish(host, counting);
    char input[40];
    for (int i = 0; i < N_FAST + 3 + N_BEHIND; i++) {
        bool fast = i < N_FAST, behind = i >= N_FAST + 3;
        snprintf(input, sizeof input, "{\"id\":%d}", fast || behind ? 3 + i % 8 : 2);
        host_enqueue(host, workflow, input, fast ? 9 : behind ? 0 : 5, &outcomes[i]);
    }
    runtime_fixture_wait(fixture);
    assert_sql_int(fixture, "SELECT count(*) FROM latchkey.job", N_FAST + 3 + N_BEHIND);
    PGconn *other = fixture_connect(fixture->conninfo);
    fixture_exec(other, "SET lock_timeout = '10s'; BEGIN; SELECT latchkey.lock('counter/2')");
    return other;
}

static const char as_before[] =
    "SELECT count(*) FROM latchkey.job WHERE claimed_by IS NULL AND "
    "claimed_until IS NULL AND attempts = 0 AND last_status IS NULL AND "
    "NOT alone AND run_at <= created_at + interval '1 s'";

/* The database knows of an end before the host has read the answer. */
static void turn_until_idle(void **state, struct host *host)
{
    for (int i = 0; i < 500 && runtime_n_running(host_runtime(host)) > 0; i++)
        runtime_fixture_turn(*state, 20);
    assert_int_equal(runtime_n_running(host_runtime(host)), 0);
}

static void what_was_claimed_ahead_is_given_back_when_it_takes_long(void **state)
{
    struct host *host = start(state);
    PGconn *other = queue_all(state, host);
    work(host, 2);
    runtime_fixture_until(*state,
                          "SELECT count(*) FROM latchkey.job WHERE input->>'id' = '2' AND "
                          "claimed_by IS NOT NULL AND NOT EXISTS (SELECT FROM latchkey.job WHERE "
                          "priority = 9)",
                          2);
    runtime_fixture_turn(*state, 1500); /* it may not be claimed yet */
    runtime_fixture_until(*state, as_before, 1 + N_BEHIND);
    PQfinish(other);
    runtime_fixture_until(*state, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_int(*state, "SELECT sum(n) FROM counter", N_FAST + 3 + N_BEHIND);
    turn_until_idle(state, host);
    host_stop(host);
}

static void a_host_that_drains_gives_back_what_it_has_not_begun(void **state)
{
    struct host *host = start(state);
    PGconn *other = queue_all(state, host);
    work(host, 2);
    runtime_fixture_until(*state, "SELECT count(*) FROM latchkey.job WHERE priority = 9", 0);
    runtime_drain(host_runtime(host));
    PQfinish(other);
    turn_until_idle(state, host);
    assert_sql_int(*state, "SELECT count(*) FROM latchkey.job WHERE claimed_by IS NOT NULL", 0);
    assert_sql_int(*state, "SELECT (count(*) >= 1)::integer FROM latchkey.job WHERE priority < 9",
                   1);
    host_stop(host);
    /* the next host runs them with neighbours, like any */
    struct runtime_options options = runtime_fixture_options(*state);
    host = host_start(*state, &options);
    work(host, 64);
    runtime_fixture_until(*state, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_int(*state, "SELECT sum(n) FROM counter", N_FAST + 3 + N_BEHIND);
    host_stop(host);
}

/* A claim judges who is dead, so it waits for its connection only for a part of the time of
 * ownership. One that comes later is there for the next claim. */
static void a_claim_whose_connection_came_too_late_is_made_again(void **state)
{
    char slowly[FIXTURE_CONNINFO_BYTES + 64];
    struct outcome outcome;
    struct host *host = start(state);
    struct runtime_options options = runtime_fixture_options(*state);
    host_enqueue(host, host_publish(host, counting), "{\"id\":1}", 0, &outcome);
    runtime_fixture_wait(*state);
    snprintf(slowly, sizeof slowly, "%s options='-c post_auth_delay=1'", options.conninfo);
    options.conninfo = slowly;
    options.ownership_us = 1000 * 1000; /* the claim waits for an eighth */
    struct host *late = host_start(*state, &options);
    work(late, 64);
    runtime_fixture_until(*state, "SELECT count(*) FROM latchkey.job", 0);
    assert_sql_int(*state, "SELECT n FROM counter WHERE id = 1", 1);
    host_stop(late);
    host_stop(host);
}

int job_claim_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_jobs_of_one_claim_run_in_their_order),
        cmocka_unit_test(what_was_claimed_ahead_is_given_back_when_it_takes_long),
        cmocka_unit_test(a_host_that_drains_gives_back_what_it_has_not_begun),
        cmocka_unit_test(a_claim_whose_connection_came_too_late_is_made_again),
    };
    return cmocka_run_group_tests_name("job_claim", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
