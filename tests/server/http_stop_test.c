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
#include <unistd.h>

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

/* What only looks is no execution, and waited for as well. */
static void a_host_that_stops_answers_those_that_only_look(void **state)
{
    struct http_scene *scene = *state;
    struct http_answer answer;
    int fd = http_connect(scene->port, NULL);
    fixture_exec(scene->database->conn, "BEGIN; LOCK TABLE latchkey.instance");
    http_write_chars(fd, "GET /v1/instances HTTP/1.1\r\nHost: localhost\r\n\r\n");
    PGconn *watcher = fixture_connect(scene->database->conninfo);
    fixture_eventually_true(watcher, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted",
                            HTTP_SCENE_PATIENCE_MS);
    PQfinish(watcher);
    kill(scene->host.pid, SIGTERM);
    http_scene_wait_for(scene, "stopping", 1);
    usleep(300 * 1000); /* it looks many times a second whether it may end */
    fixture_exec(scene->database->conn, "COMMIT");
    http_read(fd, &answer, true);
    assert_int_equal(answer.status, 200);
    assert_true(answer.closed);
    http_answer_done(&answer);
    close(fd);
    http_scene_end(scene, 0);
}

static void a_host_waits_no_longer_than_it_may(void **state)
{
    struct http_scene *scene = *state;
    struct http_answer answer;
    http_scene_start(scene, (const char *const[]){"--drain", "1", NULL});
    int fd = http_connect(scene->port, NULL);
    http_write_chars(fd,
                     "POST /v1/workflows/slow/instances HTTP/1.1\r\nHost: localhost\r\n" HTTP_JSON
                     "Content-Length: 2\r\n\r\n{}");
    fixture_eventually_true(scene->database->conn,
                            "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND"
                            " mode = 'ExclusiveLock' AND granted",
                            HTTP_SCENE_PATIENCE_MS);
    kill(scene->host.pid, SIGTERM);
    http_scene_end(scene, 128 + SIGTERM);
    http_read(fd, &answer, true);
    assert_int_equal(answer.status, 0);
    http_answer_done(&answer);
    close(fd);
    assert_int_equal(recorded(scene), 0);
}

int http_stop_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, http_scene_set_up, http_scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_host_that_stops_under_load_answers_all_that_it_has_done),
        TEST(a_host_that_stops_answers_those_that_only_look),
        cmocka_unit_test_setup_teardown(a_host_waits_no_longer_than_it_may, http_scene_prepare,
                                        http_scene_tear_down),
        TEST(a_host_that_is_killed_under_load_loses_nothing_that_it_has_answered),
    };
    return cmocka_run_group_tests_name("http_stop", tests, NULL, NULL);
}
