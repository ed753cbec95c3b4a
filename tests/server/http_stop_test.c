/* A host that ends, in whatever way, while many clients post to it. */
#include "clock.h"
#include "http_crowd.h"
#include "http_scene.h"
#include "server_tests.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum {
    CLIENTS = 64,
    ANSWERS = 1000, /* before the end */
};

static void run_until(struct http_crowd *crowd, int64_t n_answers)
{
    int64_t until_us = clock_monotonic_us() + HTTP_SCENE_PATIENCE_MS * 1000;
    const struct http_crowd_count *count = http_crowd_count(crowd);
    while (count->ok < n_answers) {
        http_crowd_turn(crowd);
        assert_true(clock_monotonic_us() < until_us);
    }
    assert_int_equal(count->n_here, CLIENTS);
    assert_int_equal(count->refused + count->odd, 0);
}

/* Until the host has left all of them. */
static void run_out(struct http_crowd *crowd)
{
    int64_t until_us = clock_monotonic_us() + HTTP_SCENE_PATIENCE_MS * 1000;
    while (http_crowd_count(crowd)->n_here > 0) {
        http_crowd_turn(crowd);
        assert_true(clock_monotonic_us() < until_us);
    }
}

static int64_t counted(const struct http_scene *scene)
{
    return fixture_int(scene->database->conn, "SELECT sum(read)::bigint FROM message");
}

static int64_t recorded(const struct http_scene *scene)
{
    return fixture_int(scene->database->conn,
                       "SELECT count(*) FROM latchkey.execution WHERE status = 'completed'");
}

static struct http_crowd *begin(const struct http_scene *scene)
{
    struct http_crowd *crowd = http_crowd_new(scene->port, CLIENTS);
    assert_non_null(crowd);
    run_until(crowd, ANSWERS);
    return crowd;
}

static void show(const char *what, const struct http_crowd_count *count)
{
    print_message("%s: %lld answers with 200, %lld with 503, %lld requests without one\n", what,
                  (long long)count->ok, (long long)count->refused, (long long)count->unanswered);
}

/* Exit code 0 says that the host was within its time: one that is cut short has another. */
static void a_host_that_stops_under_load_answers_all_that_it_has_done(void **state)
{
    struct http_scene *scene = *state;
    struct http_crowd *crowd = begin(scene);
    const struct http_crowd_count *count = http_crowd_count(crowd);
    kill(scene->host.pid, SIGTERM);
    run_out(crowd);
    http_scene_end(scene, 0);
    show("SIGTERM", count);
    assert_int_equal(count->odd, 0);
    assert_int_equal(count->cut, 0);
    assert_int_equal(http_connect(scene->port, NULL), -1);
    assert_int_equal(counted(scene), count->ok);
    assert_int_equal(recorded(scene), count->ok);
    http_crowd_free(crowd);
}

/* Those that it was at may be done or not; of no client more than one. */
static void a_host_that_is_killed_under_load_loses_nothing_that_it_has_answered(void **state)
{
    struct http_scene *scene = *state;
    struct http_crowd *crowd = begin(scene);
    const struct http_crowd_count *count = http_crowd_count(crowd);
    kill(scene->host.pid, SIGKILL);
    run_out(crowd);
    http_scene_end(scene, 128 + SIGKILL);
    show("SIGKILL", count);
    fixture_eventually_true(
        scene->database->conn,
        "SELECT count(*) = 1 FROM pg_stat_activity"
        " WHERE datname = current_database() AND backend_type = 'client backend'",
        HTTP_SCENE_PATIENCE_MS);
    assert_int_equal(count->odd + count->refused, 0);
    assert_true(counted(scene) >= count->ok);
    assert_true(counted(scene) <= count->ok + count->unanswered + count->cut);
    assert_int_equal(recorded(scene), counted(scene));
    http_crowd_free(crowd);
}

int http_stop_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, http_scene_set_up, http_scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_host_that_stops_under_load_answers_all_that_it_has_done),
        TEST(a_host_that_is_killed_under_load_loses_nothing_that_it_has_answered),
    };
    return cmocka_run_group_tests_name("http_stop", tests, NULL, NULL);
}
