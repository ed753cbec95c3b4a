/*
 * Allocations of our own code fail while executions run: they end as failed or completed, the
 * counter holds what completed, nothing stays locked, and the host goes on. The n-th one fails,
 * in an order of n that is spread over all of a run, until the time for it is over.
 */
#include "runtime_tests.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "allocation.h"
#include "clock.h"
#include "peer.h"

enum {
    N_MEMBERS = 6,
    SAMPLES_MIN = 15,
    SAMPLES_MAX = 100000,
    SPREAD = 7919, /* a prime */
    PATIENCE_US = 60 * 1000 * 1000,
};

/* How one ended, told without memory. */
struct told {
    int n_told;
    enum execution_status status;
    char reason[256];
};

struct scene {
    struct stage *stage;
    struct peer peer;
    struct workflow *workflow;
    json_t *inputs[N_MEMBERS];
    bool one_by_one;
    int64_t expected;
    int counts[STATUS_COUNT];
};

static void on_done(const struct result *result, void *arg)
{
    struct told *told = arg;
    told->n_told++;
    told->status = result->status;
    snprintf(told->reason, sizeof told->reason, "%s", result->reason ? result->reason : "");
}

static void finish(struct scene *scene, int64_t until_us)
{
    while (runtime_n_running(scene->peer.runtime) > 0 && clock_monotonic_us() < until_us)
        event_base_loop(scene->peer.base, EVLOOP_ONCE);
}

/* Returns how many allocations there were. */
static long run(struct scene *scene, long n, long n_failing)
{
    struct told told[N_MEMBERS] = {{0}};
    bool submitted[N_MEMBERS];
    struct fault fault = {.kind = FAULT_NONE};
    int n_unknown = 0;
    int64_t until_us = clock_monotonic_us() + PATIENCE_US;
    allocation_fail(ALLOCATION_OF_OURS, n, n_failing);
    for (int i = 0; i < N_MEMBERS; i++) {
        struct submission submission = {.workflow = scene->workflow,
                                        .input = scene->inputs[i],
                                        .done = on_done,
                                        .arg = &told[i]};
        submitted[i] = runtime_submit(scene->peer.runtime, &submission, &fault);
        if (scene->one_by_one)
            finish(scene, until_us);
    }
    finish(scene, until_us);
    long n_failed = allocation_stop();
    if (runtime_n_running(scene->peer.runtime) > 0)
        fail_msg("allocation %ld: %d executions are not told", n,
                 runtime_n_running(scene->peer.runtime));
    assert_true(!n || n_failed || allocation_n_seen() < n);
    for (int i = 0; i < N_MEMBERS; i++) {
        assert_int_equal(told[i].n_told, submitted[i]);
        if (!submitted[i]) {
            assert_int_equal(fault.kind, FAULT_EXHAUSTED);
            continue;
        }
        scene->counts[told[i].status]++;
        scene->expected += told[i].status == STATUS_COMPLETED;
        /* A look-up needs memory when the commit's answer could not be read for lack of it. */
        bool unknown = told[i].status == STATUS_UNKNOWN && n_failed > 1;
        n_unknown += unknown;
        if (!unknown && told[i].status != STATUS_COMPLETED &&
            (told[i].status != STATUS_FAILED || !n_failed))
            fail_msg("allocation %ld: %s: %s", n, execution_status_row(told[i].status)->name,
                     told[i].reason);
    }
    int64_t total = stage_total(scene->stage);
    if (total < scene->expected || total > scene->expected + n_unknown)
        fail_msg("allocation %ld: the counter is %lld, not %lld", n, (long long)total,
                 (long long)scene->expected);
    scene->expected = total;
    stage_until_nothing_held(scene->stage->conn);
    return allocation_n_seen();
}

static struct runtime_figures figures(const struct scene *scene)
{
    struct runtime_figures figures;
    runtime_read_figures(scene->peer.runtime, &figures);
    return figures;
}

/* Whoever ran early in vain pauses: the next one is of another workflow. */
static void publish_anew(struct scene *scene, struct recipe *recipe)
{
    char name[40];
    snprintf(name, sizeof name, "count%lld", (long long)figures(scene).n_early_missed);
    recipe->name = name;
    scene->workflow = peer_publish(&scene->peer, recipe);
}

static void run_all(struct scene *scene, const char *script, const char *const *inputs)
{
    struct recipe recipe = {.script = script, .key = "({input.id})[1]"};
    struct runtime_options options = runtime_default_options();
    struct fault fault;
    int64_t n_missed = 0;
    options.row_memory_us = scene->one_by_one ? 600 * 1000 * 1000 : options.row_memory_us;
    peer_open(&scene->peer, scene->stage->conninfo, &options);
    scene->workflow = peer_publish(&scene->peer, &recipe);
    for (int i = 0; i < N_MEMBERS; i++)
        assert_true(json_read("input", inputs[i], strlen(inputs[i]), &scene->inputs[i], &fault));
    run(scene, 0, 0);
    long n_all = run(scene, 0, 0);
    int64_t until_us =
        clock_monotonic_us() + long_or(300, scene->one_by_one ? 3 : 6) * INT64_C(1000000);
    long n_samples = 0;
    for (; n_samples < SAMPLES_MAX && n_samples < 2 * n_all; n_samples++) {
        if (n_samples >= SAMPLES_MIN && clock_monotonic_us() > until_us)
            break;
        /* Lua asks again after one refusal. */
        run(scene, 1 + n_samples / 2 * SPREAD % n_all, n_samples % 2 ? 3 : 1);
        if (scene->one_by_one && figures(scene).n_early_missed > n_missed) {
            n_missed = figures(scene).n_early_missed;
            publish_anew(scene, &recipe);
        }
    }
    run(scene, 0, 0);
    print_message("%ld allocations, %ld samples, %d completed, %d failed, %lld early\n", n_all,
                  n_samples, scene->counts[STATUS_COMPLETED], scene->counts[STATUS_FAILED],
                  (long long)figures(scene).n_early);
    assert_true(scene->one_by_one ? figures(scene).n_early > 0 : scene->counts[STATUS_FAILED] > 0);
    for (int i = 0; i < N_MEMBERS; i++)
        json_decref(scene->inputs[i]);
    peer_close(&scene->peer);
}

static void a_batch_bears_every_lack_of_memory(void **state)
{
    static const char *const inputs[N_MEMBERS] = {
        "{\"id\":1}", "{\"id\":1}", "{\"id\":2}",
        "{\"id\":3}", "{\"id\":2}", "{\"id\":4,\"path\":[[\"message\",4],[\"message\",2]]}"};
    struct scene scene = {.stage = *state};
    run_all(&scene, NULL, inputs);
}

static void scripts_with_sql_bear_every_lack_of_memory(void **state)
{
    static const char *const inputs[N_MEMBERS] = {"{\"id\":1}",         "{\"id\":1,\"n\":1}",
                                                  "{\"id\":2,\"n\":1}", "{\"id\":3}",
                                                  "{\"id\":2}",         "{\"id\":4}"};
    struct scene scene = {.stage = *state};
    run_all(&scene,
            "data.row.value = data.row.value + 1"
            " if input.n then local row = sql(\"select count(*) as n, $1::text as t from counter\","
            " \"a text\")[1] output.n = {row.n, row.t} end",
            inputs);
}

static void early_ones_bear_every_lack_of_memory(void **state)
{
    static const char *const inputs[N_MEMBERS] = {"{\"id\":1}", "{\"id\":1}", "{\"id\":1}",
                                                  "{\"id\":1}", "{\"id\":1}", "{\"id\":1}"};
    struct scene scene = {.stage = *state, .one_by_one = true};
    run_all(&scene, NULL, inputs);
}

#define TEST(name) cmocka_unit_test_setup(name, stage_reset)

int memory_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_batch_bears_every_lack_of_memory),
        TEST(early_ones_bear_every_lack_of_memory),
        TEST(scripts_with_sql_bear_every_lack_of_memory),
    };
    return cmocka_run_group_tests_name("memory", tests, stage_open, stage_close);
}
