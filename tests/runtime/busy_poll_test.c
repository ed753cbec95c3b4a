/* Whether the loop stays awake for an answer: on a loop of its own, and for a host's executions. */
#include "busy_poll.h"
#include "flow_text.h"
#include "runtime_fixture.h"
#include "runtime_tests.h"
#include "schedstat_file.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"

enum {
    LIMIT_US = 1000,
    LONG_US = 60 * 1000 * 1000, /* no test lasts so long */
    SHORT_US = 100,
    LATE_US = LIMIT_US + 1,
    A_SAVE = 1,
    A_LOAD = 2,
};

struct scene {
    struct event_base *base;
    struct busy_poll poll;
    int64_t now_us; /* where no loop runs */
};

static void open_scene(struct scene *scene, int64_t limit_us)
{
    struct fault fault;
    *scene = (struct scene){.base = event_base_new(), .now_us = clock_monotonic_us()};
    assert_non_null(scene->base);
    assert_true(busy_poll_open(&scene->poll, scene->base, limit_us, &fault));
}

static void close_scene(struct scene *scene)
{
    busy_poll_close(&scene->poll);
    event_base_free(scene->base);
}

static void on_bell(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    *(bool *)arg = true;
}

/* How often the loop turns in so long: once, for the bell, if it sleeps. */
static int n_turns(struct event_base *base, int ms)
{
    bool rung = false;
    struct timeval after = clock_timeval_us((int64_t)ms * 1000);
    struct event *bell = event_new(base, -1, 0, on_bell, &rung);
    event_add(bell, &after);
    int n = 0;
    while (!rung) {
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
        n++;
    }
    event_free(bell);
    return n;
}

/* Returns whether the loop would have stayed awake. */
static bool answered_after(struct scene *scene, int kind, int64_t us)
{
    bool awake = busy_poll_begin(&scene->poll, scene, kind, scene->now_us);
    scene->now_us += us;
    busy_poll_end_at(&scene->poll, scene->now_us);
    return awake;
}

static int n_awake(struct scene *scene, int kind, int64_t us, int times)
{
    int n = 0;
    for (int i = 0; i < times; i++)
        n += answered_after(scene, kind, us);
    return n;
}

/* ---- the loop ---- */

static void the_loop_stays_awake_and_serves_others_until_the_answer_is_there(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene, LONG_US);
    assert_true(busy_poll_begin(&scene.poll, &scene, A_SAVE, clock_monotonic_us()));
    assert_true(n_turns(scene.base, 30) > 3);
    busy_poll_end(&scene.poll, &scene);
    assert_int_equal(n_turns(scene.base, 30), 1);
    close_scene(&scene);
}

static void it_sleeps_after_the_limit(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene, 20 * 1000);
    assert_true(busy_poll_begin(&scene.poll, &scene, A_SAVE, clock_monotonic_us()));
    assert_true(n_turns(scene.base, 100) > 2);
    assert_int_equal(n_turns(scene.base, 30), 1);
    close_scene(&scene);
}

static void without_a_limit_it_never_stays_awake(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene, 0);
    assert_false(busy_poll_begin(&scene.poll, &scene, A_SAVE, clock_monotonic_us()));
    assert_int_equal(n_turns(scene.base, 30), 1);
    close_scene(&scene);
}

static void other_work_lets_it_sleep(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene, LONG_US);
    assert_true(busy_poll_begin(&scene.poll, &scene, A_SAVE, clock_monotonic_us()));
    busy_poll_rest(&scene.poll);
    assert_int_equal(n_turns(scene.base, 30), 1);
    busy_poll_end(&scene.poll, &scene);
    assert_true(busy_poll_begin(&scene.poll, &scene, A_SAVE, clock_monotonic_us()));
    close_scene(&scene);
}

static void only_the_one_who_awaits_it_ends_it(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene, LONG_US);
    assert_true(busy_poll_begin(&scene.poll, &scene, A_SAVE, clock_monotonic_us()));
    busy_poll_end(&scene.poll, state);
    assert_true(n_turns(scene.base, 30) > 3);
    busy_poll_end(&scene.poll, &scene);
    close_scene(&scene);
}

/* ---- what it learns ---- */

static void answers_that_take_longer_are_slept_for_until_they_are_quick_again(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene, LIMIT_US);
    assert_true(n_awake(&scene, A_SAVE, 100 * LIMIT_US, 10) < 10);
    assert_false(answered_after(&scene, A_SAVE, SHORT_US));
    assert_true(answered_after(&scene, A_LOAD, SHORT_US)); /* kinds are apart */
    assert_true(n_awake(&scene, A_SAVE, SHORT_US, 40) > 10);
    close_scene(&scene);
}

static void one_late_answer_among_quick_ones_changes_nothing(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene, LIMIT_US);
    assert_int_equal(n_awake(&scene, A_SAVE, LIMIT_US / 3, 30), 30);
    assert_true(answered_after(&scene, A_SAVE, LONG_US));
    assert_int_equal(n_awake(&scene, A_SAVE, LIMIT_US / 3, 30), 30);
    close_scene(&scene);
}

static void answers_are_learned_from_also_when_the_loop_slept(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene, LIMIT_US);
    for (int i = 0; i < 10; i++) {
        busy_poll_begin(&scene.poll, &scene, A_SAVE, scene.now_us);
        busy_poll_rest(&scene.poll);
        scene.now_us += 2 * LIMIT_US;
        busy_poll_end_at(&scene.poll, scene.now_us);
    }
    for (int i = 0; i < 10; i++) /* eight such make the usual one, about */
        n_awake(&scene, A_SAVE, 2 * LIMIT_US, 1);
    assert_false(answered_after(&scene, A_SAVE, SHORT_US));
    close_scene(&scene);
}

/* Two of five come just after the limit: in the mean they are quick, but the wait is often in vain.
 */
static void too_many_waits_in_vain_make_it_rest_for_a_while(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene, LIMIT_US);
    int n = 0;
    for (int i = 0; i < 60; i++) {
        n += n_awake(&scene, A_SAVE, LATE_US, 2);
        n += n_awake(&scene, A_SAVE, SHORT_US, 3);
    }
    assert_true(n > 20 && n < 290);
    scene.now_us += 10 * 1000 * 1000;
    assert_true(answered_after(&scene, A_SAVE, SHORT_US));
    close_scene(&scene);
}

static void a_few_in_vain_do_not(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene, LIMIT_US);
    int n = 0;
    for (int i = 0; i < 60; i++) {
        n += n_awake(&scene, A_SAVE, LATE_US, 1);
        n += n_awake(&scene, A_SAVE, SHORT_US, 9);
    }
    assert_int_equal(n, 600);
    close_scene(&scene);
}

static void one_disturbance_counts_once(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene, LONG_US);
    assert_true(busy_poll_begin(&scene.poll, &scene, A_SAVE, clock_monotonic_us()));
    usleep(200);
    assert_int_equal(event_base_loop(scene.base, EVLOOP_ONCE), 0);
    busy_poll_end(&scene.poll, &scene);
    assert_int_equal(n_awake(&scene, A_SAVE, SHORT_US, 300), 300);
    close_scene(&scene);
}

/* Somebody else has the processor in every wait, though the answer is in time. */
static void a_processor_that_others_use_is_left_to_them(void **state)
{
    struct scene scene;
    bool awake = true;
    (void)state;
    open_scene(&scene, LONG_US);
    for (int i = 0; i < 300 && awake; i++) {
        awake = busy_poll_begin(&scene.poll, &scene, A_SAVE, clock_monotonic_us());
        usleep(200);
        assert_true(!awake || event_base_loop(scene.base, EVLOOP_ONCE) == 0);
        busy_poll_end(&scene.poll, &scene);
    }
    assert_false(awake);
    assert_int_equal(n_turns(scene.base, 10), 1);
    close_scene(&scene);
}

/* ---- a host ---- */

struct counted {
    int64_t polls;
    int64_t early;
};

enum {
    RUNS = 5,
    FEW_TURNS = 50, /* in 100 ms; thousands if it stays awake */
};

/* RUNS times so many executions at a time, of a row each. */
static struct counted run_of(void **state, const struct runtime_options *options, const char *yaml,
                             int at_a_time)
{
    struct outcome outcomes[2];
    struct runtime_fixture *fixture = *state;
    struct runtime_figures before, after;
    assert_true(at_a_time <= 2);
    runtime_fixture_tables(fixture, FLOW_TABLES);
    struct host *host = host_start(fixture, options);
    struct workflow *workflow = host_publish(host, yaml);
    host_submit(host, workflow, "{\"id\":1}", &outcomes[0]);
    runtime_fixture_wait(fixture); /* its tables are known now */
    assert_outcome(&outcomes[0], STATUS_COMPLETED, "");
    runtime_read_figures(host_runtime(host), &before);
    for (int i = 0; i < RUNS; i++) {
        for (int k = 0; k < at_a_time; k++)
            host_submitf(host, workflow, &outcomes[k], "{\"id\":%d}", k + 1);
        runtime_fixture_wait(fixture);
        for (int k = 0; k < at_a_time; k++)
            assert_outcome(&outcomes[k], STATUS_COMPLETED, "");
    }
    runtime_read_figures(host_runtime(host), &after);
    assert_in_range(n_turns(fixture->base, 100), 1, FEW_TURNS);
    assert_sql_int(fixture, "SELECT sum(n) FROM counter", 1 + RUNS * at_a_time);
    host_stop(host);
    return (struct counted){.polls = after.n_busy_polls - before.n_busy_polls,
                            .early = after.n_early - before.n_early};
}

static struct counted run(void **state, const struct runtime_options *options, int at_a_time)
{
    return run_of(state, options, FLOW FLOW_ADD("a", "1", ""), at_a_time);
}

static struct runtime_options options_of(void **state)
{
    struct runtime_options options = runtime_fixture_options(*state);
    options.busy_poll_us = LONG_US;
    options.row_memory_us = 0;
    return options;
}

static void both_answers_to_an_execution_by_itself_are_stayed_awake_for(void **state)
{
    struct runtime_options options = options_of(state);
    struct counted counted = run(state, &options, 1);
    assert_int_equal(counted.polls, 2 * RUNS);
    options.row_memory_us = 60 * 1000 * 1000; /* one answer, if it is early */
    counted = run(state, &options, 1);
    assert_true(counted.early > 0);
    assert_int_equal(counted.polls, 2 * RUNS - counted.early);
}

static void so_are_those_to_what_its_script_asks(void **state)
{
    struct runtime_options options = options_of(state);
    struct counted counted =
        run_of(state, &options,
               FLOW FLOW_STEP("a", FLOW_CONTEXT, "",
                              "sql('SELECT 1'); sql('SELECT 2'); data.row.n = data.row.n + 1"),
               1);
    assert_int_equal(counted.polls, 4 * RUNS);
}

static void the_answers_to_several_are_not(void **state)
{
    struct runtime_options options = options_of(state);
    assert_int_equal(run(state, &options, 2).polls, 0);
}

/* The first one's save takes long. */
static void when_another_begins_the_loop_sleeps(void **state)
{
    struct outcome outcomes[2];
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = options_of(state);
    runtime_fixture_tables(fixture, FLOW_TABLES
                           "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
                           " PERFORM pg_sleep(1); RETURN NEW; END$$;"
                           "CREATE TRIGGER t BEFORE UPDATE ON counter FOR EACH ROW"
                           " WHEN (NEW.id = 1) EXECUTE FUNCTION dawdle()");
    struct host *host = host_start(fixture, &options);
    struct workflow *workflow = host_publish(host, FLOW FLOW_ADD("a", "1", ""));
    host_submit(host, workflow, "{\"id\":2}", &outcomes[0]);
    runtime_fixture_wait(fixture); /* its tables are known now */
    host_submit(host, workflow, "{\"id\":1}", &outcomes[0]);
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", 1);
    int n_awake = n_turns(fixture->base, 100);
    host_submit(host, workflow, "{\"id\":2}", &outcomes[1]);
    while (!outcomes[1].told)
        assert_int_equal(event_base_loop(fixture->base, EVLOOP_ONCE), 0);
    assert_true(n_awake > FEW_TURNS);
    assert_in_range(n_turns(fixture->base, 100), 1, FEW_TURNS);
    assert_false(outcomes[0].told);
    runtime_fixture_wait(fixture);
    assert_outcome(&outcomes[0], STATUS_COMPLETED, "");
    assert_outcome(&outcomes[1], STATUS_COMPLETED, "");
    host_stop(host);
}

static void nor_is_that_to_a_wait_for_a_lock(void **state)
{
    struct outcome outcome;
    struct runtime_fixture *fixture = *state;
    struct runtime_options options = options_of(state);
    PGconn *other = fixture_connect(fixture->conninfo);
    runtime_fixture_tables(fixture, FLOW_TABLES);
    struct host *host = host_start(fixture, &options);
    struct workflow *workflow = host_publish(host, FLOW FLOW_ADD("a", "1", ""));
    fixture_exec(other, "BEGIN; SELECT latchkey.lock('counter/1')");
    host_submit(host, workflow, "{\"id\":1}", &outcome);
    runtime_fixture_until(fixture,
                          "SELECT count(*) FROM pg_stat_activity WHERE datname ="
                          " current_database() AND wait_event_type = 'Lock'",
                          1);
    assert_in_range(n_turns(fixture->base, 100), 1, FEW_TURNS);
    fixture_exec(other, "COMMIT");
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    host_stop(host);
    PQfinish(other);
}

static void nor_is_any_where_it_is_switched_off(void **state)
{
    struct runtime_options options = options_of(state);
    options.busy_poll_us = 0;
    assert_int_equal(run(state, &options, 1).polls, 0);
}

static void nor_where_processors_are_short(void **state)
{
    struct outcome outcome;
    struct runtime_fixture *fixture = *state;
    struct runtime_figures figures;
    struct runtime_options options = options_of(state);
    struct schedstat_file schedstat;
    schedstat_file_open(&schedstat, 1000, 1000);
    options.schedstat = schedstat.path;
    runtime_fixture_tables(fixture, FLOW_TABLES);
    struct host *host = host_start(fixture, &options);
    struct workflow *workflow = host_publish(host, FLOW FLOW_ADD("a", "1", ""));
    host_submit(host, workflow, "{\"id\":1}", &outcome);
    runtime_fixture_wait(fixture);
    runtime_read_figures(host_runtime(host), &figures);
    int64_t n_before = figures.n_busy_polls;
    assert_true(n_before > 0);
    runtime_fixture_turn(fixture, 60); /* it looks so often */
    schedstat_file_add(&schedstat, 20, 60);
    host_submit(host, workflow, "{\"id\":1}", &outcome);
    runtime_fixture_wait(fixture);
    assert_outcome(&outcome, STATUS_COMPLETED, "");
    runtime_read_figures(host_runtime(host), &figures);
    assert_true(figures.crowded);
    assert_int_equal(figures.n_busy_polls, n_before);
    host_stop(host);
    schedstat_file_close(&schedstat);
}

int busy_poll_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loop_stays_awake_and_serves_others_until_the_answer_is_there),
        cmocka_unit_test(it_sleeps_after_the_limit),
        cmocka_unit_test(without_a_limit_it_never_stays_awake),
        cmocka_unit_test(other_work_lets_it_sleep),
        cmocka_unit_test(only_the_one_who_awaits_it_ends_it),
        cmocka_unit_test(answers_that_take_longer_are_slept_for_until_they_are_quick_again),
        cmocka_unit_test(one_late_answer_among_quick_ones_changes_nothing),
        cmocka_unit_test(answers_are_learned_from_also_when_the_loop_slept),
        cmocka_unit_test(too_many_waits_in_vain_make_it_rest_for_a_while),
        cmocka_unit_test(a_few_in_vain_do_not),
        cmocka_unit_test(one_disturbance_counts_once),
        cmocka_unit_test(a_processor_that_others_use_is_left_to_them),
        cmocka_unit_test(both_answers_to_an_execution_by_itself_are_stayed_awake_for),
        cmocka_unit_test(so_are_those_to_what_its_script_asks),
        cmocka_unit_test(the_answers_to_several_are_not),
        cmocka_unit_test(when_another_begins_the_loop_sleeps),
        cmocka_unit_test(nor_is_that_to_a_wait_for_a_lock),
        cmocka_unit_test(nor_is_any_where_it_is_switched_off),
        cmocka_unit_test(nor_where_processors_are_short),
    };
    return cmocka_run_group_tests_name("busy_poll", tests, runtime_fixture_setup,
                                       runtime_fixture_teardown);
}
