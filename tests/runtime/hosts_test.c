/* Several hosts, each a process of its own, at the same paths. */
#include "runtime_tests.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "peer.h"

#include "clock.h"

/* What several children share with their test. */
struct field {
    int stop;
    int measuring;
    int n_ready;
    long completed[8]; /* while measuring */
    long n_other;
    char reason[256];
};

struct field_host {
    struct field *field;
    int place;
    const struct recipe *recipe;
    const char *const *inputs;
    int n_inputs;
    int concurrency;
};

static int get(int *flag)
{
    return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

static void set(int *flag)
{
    __atomic_add_fetch(flag, 1, __ATOMIC_SEQ_CST);
}

/* Keeps on until the test says stop; counts what completes while it measures. */
static void run_in_field(struct peer *peer, void *arg)
{
    struct field_host *host = arg;
    struct field *field = host->field;
    struct load load = {.peer = peer,
                        .workflow = peer_publish(peer, host->recipe),
                        .inputs = host->inputs,
                        .n_inputs = host->n_inputs,
                        .concurrency = host->concurrency};
    load_start(&load);
    set(&field->n_ready);
    while (!get(&field->stop) && !get(&field->measuring))
        peer_turn_for(peer, 5);
    long before = load.counts[STATUS_COMPLETED];
    while (!get(&field->stop))
        peer_turn_for(peer, 5);
    field->completed[host->place] = load.counts[STATUS_COMPLETED] - before;
    load_stop(&load, 60 * 1000);
    long n_other = load.n_started - load.counts[STATUS_COMPLETED];
    __atomic_add_fetch(&field->n_other, n_other, __ATOMIC_SEQ_CST);
    if (n_other)
        snprintf(field->reason, sizeof field->reason, "%s", load.reason);
}

static void finish_field(struct field *field, const pid_t *pids, int n)
{
    set(&field->stop);
    for (int i = 0; i < n; i++)
        peer_join(pids[i]);
    if (field->n_other)
        print_error("%s\n", field->reason);
    assert_int_equal(field->n_other, 0);
}

/* Makes the schema, so that the children need not race for it. */
static void prepare(struct stage *stage)
{
    struct peer peer;
    peer_open(&peer, stage->conninfo, NULL);
    peer_close(&peer);
}

static const char *const HOT[] = {"{\"id\":1}"};

static void hosts_get_a_fair_share_of_a_hot_path(struct stage *stage, const char *script)
{
    enum { HOSTS = 3 };
    struct field *field = share_new(sizeof *field);
    struct recipe recipe = {.acquire = "30s", .script = script};
    pid_t pids[HOSTS];
    prepare(stage);
    for (int i = 0; i < HOSTS; i++) {
        struct field_host host = {field, i, &recipe, HOT, 1, /* concurrency= */ 16};
        if (i == HOSTS - 1)
            nap_ms(700); /* the last one joins later */
        pids[i] = peer_fork(stage->conninfo, NULL, run_in_field, &host);
    }
    while (get(&field->n_ready) < HOSTS)
        nap_ms(10);
    nap_ms(300);
    set(&field->measuring);
    nap_ms(long_or(10000, 2000));
    finish_field(field, pids, HOSTS);
    long least = field->completed[0], most = field->completed[0];
    for (int i = 1; i < HOSTS; i++) {
        least = field->completed[i] < least ? field->completed[i] : least;
        most = field->completed[i] > most ? field->completed[i] : most;
    }
    if (least * 3 < most)
        print_error("completed: %ld, %ld, %ld\n", field->completed[0], field->completed[1],
                    field->completed[2]);
    assert_true(least > 0);
    assert_true(least * 3 >= most);
    share_free(field, sizeof *field);
}

static void batches_of_three_hosts_share_a_hot_path_fairly(void **state)
{
    hosts_get_a_fair_share_of_a_hot_path(*state, NULL);
}

static void single_executions_of_three_hosts_share_a_hot_path_fairly(void **state)
{
    hosts_get_a_fair_share_of_a_hot_path(*state, "sleep(0.005)"
                                                 " data.row.value = data.row.value + 1");
}

static void eight_processes_with_crossing_paths_never_deadlock(void **state)
{
    enum { HOSTS = 8 };
    static const char *const inputs[] = {
        "{\"id\":1,\"path\":[[\"a-b\"],[\"a\",\"1\"]]}",
        "{\"id\":1,\"path\":[[\"a\"],[\"a-b\"]]}",
        "{\"id\":1,\"path\":[[\"a\",\"1\"],[\"a-b\"],[\"a\",\"1\",\"x\"]]}",
    };
    struct stage *stage = *state;
    struct field *field = share_new(sizeof *field);
    struct recipe recipe = {.acquire = "60s",
                            .script = "local seen = data.row.value sleep(0.002)"
                                      " data.row.value = seen + 1"};
    struct runtime_options options = runtime_default_options();
    pid_t pids[HOSTS];
    options.pool_size = 6;
    options.waiters = 3;
    options.queue_after_us = 0; /* tries cannot deadlock, only those who wait can */
    prepare(stage);
    for (int i = 0; i < HOSTS; i++) {
        struct field_host host = {field, i, &recipe, inputs + i % 2, 2, /* concurrency= */ 4};
        pids[i] = peer_fork(stage->conninfo, &options, run_in_field, &host);
    }
    while (get(&field->n_ready) < HOSTS)
        nap_ms(10);
    set(&field->measuring);
    nap_ms(long_or(10000, 2000));
    finish_field(field, pids, HOSTS);
    for (int i = 0; i < HOSTS; i++)
        assert_true(field->completed[i] > 0);
    assert_int_equal(fixture_int(stage->conn, "SELECT deadlocks FROM pg_stat_database WHERE datname"
                                              " = current_database()"),
                     0);
    assert_int_equal(stage_total(stage),
                     fixture_int(stage->conn, "SELECT count(*) FROM latchkey.execution WHERE status"
                                              " = 'completed'"));
    share_free(field, sizeof *field);
}

static void two_activities_with_one_path_exclude_each_other_over_hosts(void **state)
{
    enum { HOSTS = 2 };
    struct stage *stage = *state;
    struct field *field = share_new(sizeof *field);
    const char *script = "local seen = data.row.value"
                         " local from = sql(\"select clock_timestamp()::text as t\")[1].t"
                         " sleep(0.003)"
                         " sql(\"insert into span select $1::text::timestamptz,"
                         " clock_timestamp()\", from)";
    struct recipe recipes[HOSTS] = {{.name = "one", .script = script},
                                    {.name = "two", .script = script}};
    pid_t pids[HOSTS];
    fixture_exec(stage->conn, "CREATE TABLE span (since timestamptz, until timestamptz)");
    prepare(stage);
    for (int i = 0; i < HOSTS; i++) {
        struct field_host host = {field, i, &recipes[i], HOT, 1, /* concurrency= */ 4};
        pids[i] = peer_fork(stage->conninfo, NULL, run_in_field, &host);
    }
    while (get(&field->n_ready) < HOSTS)
        nap_ms(10);
    set(&field->measuring);
    nap_ms(1200);
    finish_field(field, pids, HOSTS);
    for (int i = 0; i < HOSTS; i++)
        assert_true(field->completed[i] > 0);
    assert_int_equal(fixture_int(stage->conn,
                                 "SELECT count(*) FROM (SELECT since, lag(until) OVER (ORDER BY"
                                 " since) AS before FROM span) s WHERE since < before"),
                     0);
    share_free(field, sizeof *field);
}

/* What was acknowledged is there, once; a killed process leaves no lock. */
static void the_counter_is_exact_when_hosts_are_killed(void **state)
{
    enum { HOSTS = 3 };
    struct stage *stage = *state;
    struct field *field = share_new(sizeof *field);
    struct recipe recipe = {.acquire = "60s",
                            .script = "local seen = data.row.value if input.n then sleep(0.01) end"
                                      " data.row.value = seen + 1"};
    static const char *const inputs[] = {"{\"id\":1}", "{\"id\":2}", "{\"id\":1,\"n\":1}"};
    pid_t pids[HOSTS];
    prepare(stage);
    for (int i = 0; i < HOSTS; i++) {
        struct field_host host = {field, i, &recipe, inputs, 3, /* concurrency= */ 8};
        pids[i] = peer_fork(stage->conninfo, NULL, run_in_field, &host);
    }
    while (get(&field->n_ready) < HOSTS)
        nap_ms(10);
    nap_ms(300);
    for (int i = 0; i < HOSTS - 1; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
        nap_ms(200);
    }
    set(&field->measuring);
    nap_ms(300);
    finish_field(field, pids + HOSTS - 1, 1);
    assert_true(field->completed[HOSTS - 1] > 0);
    fixture_eventually_true(stage->conn,
                            "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname ="
                            " current_database() AND application_name LIKE 'latchkey%'",
                            5000);
    assert_int_equal(stage_total(stage),
                     fixture_int(stage->conn, "SELECT count(*) FROM latchkey.execution WHERE status"
                                              " = 'completed'"));
    assert_int_equal(stage_n_granted(stage->conn), 0);
    share_free(field, sizeof *field);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int hosts_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(batches_of_three_hosts_share_a_hot_path_fairly),
        TEST(single_executions_of_three_hosts_share_a_hot_path_fairly),
        TEST(eight_processes_with_crossing_paths_never_deadlock),
        TEST(two_activities_with_one_path_exclude_each_other_over_hosts),
        TEST(the_counter_is_exact_when_hosts_are_killed),
    };
    return cmocka_run_group_tests_name("hosts", tests, stage_open, stage_close);
}
