/* When plain batches begin, by what the kernel says of the processors: a file in its place. */
#include "batch_state.h"
#include "pace.h"
#include "runtime_fixture.h"
#include "runtime_state.h"
#include "runtime_tests.h"
#include "schedstat_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    MS = 1000,
    LINGER_US = 5 * MS,
};

struct scene {
    struct schedstat_file schedstat;
    int64_t now_us;
    struct runtime_options options;
    struct pace pace;
};

static void open_scene(struct scene *scene)
{
    *scene = (struct scene){.now_us = 1000 * 1000 * MS};
    schedstat_file_open(&scene->schedstat, 10 * 1000, 90 * 1000);
    scene->options = runtime_default_options();
    scene->options.batch_linger_us = LINGER_US;
    scene->options.schedstat = scene->schedstat.path;
    pace_open(&scene->pace, &scene->options, 8);
}

static void close_scene(struct scene *scene)
{
    pace_close(&scene->pace);
    schedstat_file_close(&scene->schedstat);
}

/* So long later, in which the thread ran and waited for so long. */
static int batches_after(struct scene *scene, int ms, int ran_ms, int waited_ms)
{
    scene->now_us += (int64_t)ms * MS;
    schedstat_file_add(&scene->schedstat, ran_ms, waited_ms);
    return pace_batches(&scene->pace, /* n_ready= */ 1, scene->now_us);
}

static void become_crowded(struct scene *scene)
{
    assert_int_equal(batches_after(scene, 60, 20, 30), 1);
}

static void with_processors_to_spare_there_are_two_batches(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene); /* what was before it does not count */
    assert_int_equal(batches_after(&scene, 60, 20, 0), 2);
    assert_int_equal(batches_after(&scene, 60, 20, 29), 2);
    close_scene(&scene);
}

static void without_there_is_one_until_the_waits_are_short(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    become_crowded(&scene);
    assert_int_equal(batches_after(&scene, 60, 20, 20), 1);   /* neither long nor short */
    assert_int_equal(batches_after(&scene, 60, 20, 0), 1);    /* so soon that says little */
    assert_int_equal(batches_after(&scene, 1000, 20, 11), 1); /* still not short */
    assert_int_equal(batches_after(&scene, 60, 20, 9), 2);
    close_scene(&scene);
}

static void it_is_looked_at_now_and_then_only(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    assert_int_equal(batches_after(&scene, 60, 20, 0), 2);
    assert_int_equal(batches_after(&scene, 40, 20, 200), 2);
    assert_int_equal(batches_after(&scene, 20, 0, 0), 1);
    close_scene(&scene);
}

/* Of a thread that sleeps mostly, what it waited says nothing; it adds up. */
static void a_short_run_says_nothing(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    assert_int_equal(batches_after(&scene, 60, 20, 0), 2);
    assert_int_equal(batches_after(&scene, 60, 4, 100), 2);
    assert_int_equal(batches_after(&scene, 60, 4, 0), 1);
    close_scene(&scene);
}

/* So short a time errs: what comes then decides anew. */
static void what_a_start_tells_is_soon_looked_at_again(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    assert_int_equal(batches_after(&scene, 10, 1, 2), 1);
    assert_int_equal(batches_after(&scene, 60, 20, 20), 2);
    close_scene(&scene);
    open_scene(&scene);
    assert_int_equal(batches_after(&scene, 10, 1, 2), 1);
    assert_int_equal(batches_after(&scene, 60, 20, 30), 1);
    assert_int_equal(batches_after(&scene, 60, 20, 20), 1); /* this was no start */
    close_scene(&scene);
}

/* Until then it has done little, and it has more to do at once than ever after. */
static void a_start_tells_after_a_millisecond(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    assert_int_equal(batches_after(&scene, 10, 1, 2), 1);
    close_scene(&scene);
    open_scene(&scene);
    assert_int_equal(batches_after(&scene, 10, 1, 1), 2);
    close_scene(&scene);
    open_scene(&scene);
    assert_int_equal(batches_after(&scene, 10, 0, 50), 2); /* it has not run yet */
    assert_int_equal(batches_after(&scene, 60, 4, 50), 2); /* and this is no start */
    assert_int_equal(batches_after(&scene, 60, 1, 0), 1);
    close_scene(&scene);
}

static void a_kernel_that_does_not_tell_is_idle(void **state)
{
    static const char *const paths[] = {"/nowhere/schedstat", "/dev/null"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pace pace;
        const struct runtime_options options = {.schedstat = paths[i], .batch_members_max = 128};
        pace_open(&pace, &options, 8);
        assert_int_equal(pace.crowding.fd, -1);
        assert_int_equal(pace_batches(&pace, 1, 1000 * 1000 * MS), 2);
        pace_close(&pace);
    }
}

static void the_kernel_s_own_file_is_read(void **state)
{
    struct pace pace;
    const struct runtime_options options = {.schedstat = NULL};
    (void)state;
    pace_open(&pace, &options, 8);
    assert_true(access("/proc/thread-self/schedstat", R_OK) != 0 || pace.crowding.ran_ns > 0);
    pace_close(&pace);
}

static void there_are_no_more_batches_than_connections(void **state)
{
    struct pace pace;
    const struct runtime_options options = {.schedstat = "/dev/null"};
    (void)state;
    pace_open(&pace, &options, 1);
    assert_int_equal(pace_batches(&pace, 1, 0), 1);
    pace_close(&pace);
}

/* Those of the last batch come back: they and those that stood ready make a batch together. */
static void a_third_batch_begins_when_it_is_full(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    int full = scene.options.batch_members_max;
    assert_int_equal(pace_batches(&scene.pace, full - 1, scene.now_us), 2);
    assert_int_equal(pace_batches(&scene.pace, full, scene.now_us), 3);
    assert_int_equal(batches_after(&scene, 60, 20, 30), 1);
    assert_int_equal(pace_batches(&scene.pace, full, scene.now_us), 1);
    scene.pace.connections = 2;
    scene.pace.crowding.crowded = false;
    assert_int_equal(pace_batches(&scene.pace, full, scene.now_us), 2);
    close_scene(&scene);
}

static void where_it_is_crowded_a_batch_waits_for_those_that_come_back(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    become_crowded(&scene);
    pace_began(&scene.pace, 40);
    pace_ended(&scene.pace, 30);
    int64_t now_us = scene.now_us;
    assert_int_equal(pace_linger_us(&scene.pace, 30, 0, now_us), LINGER_US);
    assert_int_equal(pace_linger_us(&scene.pace, 61, 0, now_us + 2 * MS), 3 * MS);
    assert_int_equal(pace_linger_us(&scene.pace, 62, 0, now_us + 2 * MS), 0);    /* of 70, but 8 */
    assert_int_equal(pace_linger_us(&scene.pace, 30, 0, now_us + LINGER_US), 0); /* long enough */
    pace_began(&scene.pace, 30);
    pace_ended(&scene.pace, 127);
    assert_int_equal(pace_linger_us(&scene.pace, 128, 0, now_us + 9 * MS), 0); /* it is full */
    close_scene(&scene);
}

static void the_few_do_not_wait_for_each_other(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    become_crowded(&scene);
    pace_began(&scene.pace, 16);
    pace_ended(&scene.pace, 15);
    assert_int_equal(pace_linger_us(&scene.pace, 15, 0, scene.now_us), 0);
    close_scene(&scene);
}

static void with_processors_to_spare_only_small_ones_beside_another_wait(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    pace_began(&scene.pace, 40);
    pace_ended(&scene.pace, 30);
    assert_int_equal(pace_linger_us(&scene.pace, 30, 0, scene.now_us), 0);
    assert_int_equal(pace_linger_us(&scene.pace, 9, 0, scene.now_us), 0);
    assert_int_equal(pace_linger_us(&scene.pace, 10, 1, scene.now_us), 0);
    assert_int_equal(pace_linger_us(&scene.pace, 9, 1, scene.now_us), LINGER_US);
    pace_emptied(&scene.pace); /* who comes then waits anew */
    assert_int_equal(pace_linger_us(&scene.pace, 9, 1, scene.now_us + 4 * MS), LINGER_US);
    close_scene(&scene);
}

static void the_next_is_full_if_so_many_are_ready_or_stand_behind(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    int full = scene.options.batch_members_max;
    assert_true(pace_next_is_full(&scene.pace, full, 3, full));
    assert_false(pace_next_is_full(&scene.pace, full - 1, 1, full - 1));
    assert_true(pace_next_is_full(&scene.pace, 0, 1, full));
    assert_false(pace_next_is_full(&scene.pace, 0, 2, full)); /* they may be in the other one */
    close_scene(&scene);
}

/* ---- a host ---- */

static const char ADD_ONE[] = "workflow: add\ninput:\n  id: integer\n"
                              "data:\n  i:\n    table: item\n    key: { id: input.id }\n"
                              "start: go\nactivities:\n  go:\n    enable-exclusive-lock: true\n"
                              "    lock-context: '{\"item\", input.id}'\n"
                              "    script: |\n      data.i.n = data.i.n + 1\n";

/* How many transactions it takes for 128 executions on 128 rows. */
static int64_t n_batches(void **state, struct scene *scene, int waited_ms)
{
    enum { N = 128 };
    static struct outcome outcomes[N];
    struct runtime_fixture *fixture = *state;
    struct runtime_figures figures;
    struct runtime_options options = runtime_fixture_options(fixture);
    options.batch_share_least = 64;
    options.schedstat = scene->schedstat.path;
    runtime_fixture_tables(fixture, "CREATE TABLE item (id int PRIMARY KEY, n int DEFAULT 0);"
                                    "INSERT INTO item (id) SELECT generate_series(0, 128)");
    struct host *host = host_start(fixture, &options);
    struct workflow *workflow = host_publish(host, ADD_ONE);
    host_submit(host, workflow, "{\"id\":0}", &outcomes[0]);
    runtime_fixture_wait(fixture); /* its tables are known now */
    runtime_fixture_turn(fixture, 60);
    schedstat_file_add(&scene->schedstat, 20, waited_ms);
    for (int i = 0; i < N; i++)
        host_submitf(host, workflow, &outcomes[i], "{\"id\":%d}", i + 1);
    runtime_fixture_wait(fixture);
    for (int i = 0; i < N; i++)
        assert_outcome(&outcomes[i], STATUS_COMPLETED, "");
    runtime_read_figures(host_runtime(host), &figures);
    host_stop(host);
    return figures.n_batches - 1;
}

static void a_crowded_host_makes_one_batch_of_two(void **state)
{
    struct scene scene;
    open_scene(&scene);
    assert_int_equal(n_batches(state, &scene, 0), 2);
    assert_int_equal(n_batches(state, &scene, 100), 1);
    close_scene(&scene);
}

/* What stands there while executions are answered. */
struct answers {
    struct runtime *runtime;
    int n;
    int n_batches[8]; /* under way as each is told */
};

static void count_batches(const struct result *result, void *arg)
{
    struct answers *answers = arg;
    const struct batch *batch;
    assert_int_equal(result->status, STATUS_COMPLETED);
    assert_true(answers->n < 8);
    LIST_FOREACH(batch, &answers->runtime->batches, link)
    answers->n_batches[answers->n]++;
    answers->n++;
}

/* The server works on the next ones of a hot path while these are answered, and others come. */
static void a_full_batch_begins_before_those_of_the_last_are_answered(void **state)
{
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = runtime_fixture_options(fixture);
    struct outcome first;
    struct fault fault;
    options.batch_members_max = 4;
    runtime_fixture_tables(fixture, "CREATE TABLE item (id int PRIMARY KEY, n int DEFAULT 0);"
                                    "INSERT INTO item (id) VALUES (1)");
    struct host *host = host_start(fixture, &options);
    struct workflow *workflow = host_publish(host, ADD_ONE);
    host_submit(host, workflow, "{\"id\":1}", &first);
    runtime_fixture_wait(fixture); /* its tables are known now */
    struct answers answers = {.runtime = host_runtime(host)};
    for (int i = 0; i < 8; i++) {
        json_t *input = json_pack("{s:i}", "id", 1);
        struct submission submission = {
            .workflow = workflow, .input = input, .done = count_batches, .arg = &answers};
        assert_true(runtime_submit(host_runtime(host), &submission, &fault));
        json_decref(input);
    }
    while (answers.n < 8)
        runtime_fixture_turn(fixture, 1);
    for (int i = 0; i < 8; i++)
        assert_int_equal(answers.n_batches[i], i < 4 ? 2 : 1);
    assert_sql_int(fixture, "SELECT n FROM item", 9);
    host_stop(host);
}

int pace_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_processors_to_spare_there_are_two_batches),
        cmocka_unit_test(without_there_is_one_until_the_waits_are_short),
        cmocka_unit_test(it_is_looked_at_now_and_then_only),
        cmocka_unit_test(a_short_run_says_nothing),
        cmocka_unit_test(a_start_tells_after_a_millisecond),
        cmocka_unit_test(what_a_start_tells_is_soon_looked_at_again),
        cmocka_unit_test(a_kernel_that_does_not_tell_is_idle),
        cmocka_unit_test(the_kernel_s_own_file_is_read),
        cmocka_unit_test(there_are_no_more_batches_than_connections),
        cmocka_unit_test(a_third_batch_begins_when_it_is_full),
        cmocka_unit_test(where_it_is_crowded_a_batch_waits_for_those_that_come_back),
        cmocka_unit_test(the_few_do_not_wait_for_each_other),
        cmocka_unit_test(with_processors_to_spare_only_small_ones_beside_another_wait),
        cmocka_unit_test(the_next_is_full_if_so_many_are_ready_or_stand_behind),
        cmocka_unit_test(a_crowded_host_makes_one_batch_of_two),
        cmocka_unit_test(a_full_batch_begins_before_those_of_the_last_are_answered),
    };
    return cmocka_run_group_tests_name("pace", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
