/* Every outcome of an execution over HTTP, and the lists of instances and jobs. */
#include "server_tests.h"

#include "http_scene.h"
#include "pg_proxy.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_run(struct http_scene *scene, const char *workflow, const char *input,
                       int http_status, const char *status)
{
    json_t *result = http_scene_run(scene, workflow, input, http_status);
    http_expect_text(result, "status", status);
    assert_non_null(json_object_get(result, "lock"));
    json_decref(result);
}

static void outcomes_have_the_statuses_that_stand_for_them(void **state)
{
    struct http_scene *scene = *state;
    json_t *result = http_scene_run(scene, "read", "{\"id\":7}", 200);
    http_expect_text(result, "status", "completed");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(result, "output"), "read")),
                     1);
    json_decref(result);
    expect_run(scene, "wait", "{}", 200, "idle");
    expect_run(scene, "nobody", "{}", 404, "missing");
    expect_run(scene, "read", "{\"id\":999}", 404, "missing");
    expect_run(scene, "read", "{\"id\":\"x\"}", 400, "invalid");
    expect_run(scene, "odd", "{\"what\":\"guard\"}", 409, "blocked");
    expect_run(scene, "odd", "{\"what\":\"fail\"}", 422, "failed");
    expect_run(scene, "odd", "{\"what\":\"raise\"}", 500, "failed");
    expect_run(scene, "odd", "{\"what\":\"refused\"}", 503, "failed");
    expect_run(scene, "odd", "{\"what\":\"column\"}", 400, "invalid");
    expect_run(scene, "odd", "{\"what\":\"sleep\"}", 504, "expired");
}

static void who_gets_no_lock_is_told_when_to_come_back(void **state)
{
    struct http_scene *scene = *state;
    struct http_answer answer;
    char field[32];
    fixture_exec(scene->database->conn, "BEGIN; SELECT latchkey.lock('message/3')");
    http_call(scene->port, "POST", "/v1/workflows/read/instances", HTTP_JSON,
              "{\"input\":{\"id\":3}}", &answer);
    assert_int_equal(answer.status, 423);
    assert_non_null(strstr(answer.body, "\"status\":\"locked\""));
    http_field_of(&answer, "Retry-After", field, sizeof field);
    assert_string_equal(field, "1");
    http_answer_done(&answer);
    fixture_exec(scene->database->conn, "COMMIT");
    expect_run(scene, "read", "{\"id\":3}", 200, "completed");
}

static void *change_behind_its_back(void *arg)
{
    struct http_scene *scene = arg;
    PGconn *conn = fixture_connect(scene->database->conninfo);
    fixture_eventually_true(conn,
                            "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND"
                            " mode = 'ExclusiveLock' AND granted",
                            HTTP_SCENE_PATIENCE_MS);
    for (int i = 0; i < 20; i++) { /* before and after it has read the row */
        fixture_exec(conn, "UPDATE message SET title = clock_timestamp()::text WHERE id = 1");
        usleep(50 * 1000);
    }
    PQfinish(conn);
    return NULL;
}

static void a_row_that_others_changed_is_a_conflict(void **state)
{
    struct http_scene *scene = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, change_behind_its_back, scene), 0);
    json_t *result = http_scene_run(scene, "odd", "{\"what\":\"nap\"}", 409);
    pthread_join(thread, NULL);
    http_expect_text(result, "status", "conflict");
    json_decref(result);
}

static void a_key_gives_the_same_answer_again(void **state)
{
    struct http_scene *scene = *state;
    static const char path[] = "/v1/workflows/read/instances";
    static const char headers[] = HTTP_JSON "Idempotency-Key: once\r\n";
    json_t *first = http_expect(scene->port, "POST", path, headers, "{\"input\":{\"id\":8}}", 200);
    json_t *second = http_expect(scene->port, "POST", path, headers, "{\"input\":{\"id\":8}}", 200);
    assert_true(json_is_true(json_object_get(second, "replayed")));
    assert_true(json_equal(json_object_get(first, "id"), json_object_get(second, "id")));
    json_t *other = http_expect(scene->port, "POST", path, headers, "{\"input\":{\"id\":9}}", 422);
    http_expect_text(other, "status", "invalid");
    json_t *async = http_expect(scene->port, "POST", path,
                                HTTP_JSON "Idempotency-Key: once\r\nPrefer: respond-async\r\n",
                                "{\"input\":{\"id\":9}}", 422);
    assert_int_equal(fixture_int(scene->database->conn, "SELECT sum(read)::bigint FROM message"),
                     1);
    json_decref(first);
    json_decref(second);
    json_decref(other);
    json_decref(async);
}

static void an_instance_left_to_the_background_is_found_where_it_says(void **state)
{
    struct http_scene *scene = *state;
    struct http_answer answer;
    char location[128];
    http_call(scene->port, "POST", "/v1/workflows/read/instances",
              HTTP_JSON "Prefer: respond-async\r\n", "{\"input\":{\"id\":2}}", &answer);
    assert_int_equal(answer.status, 202);
    assert_non_null(strstr(answer.body, "\"status\":\"queued\""));
    http_field_of(&answer, "Location", location, sizeof location);
    http_answer_done(&answer);
    for (int i = 0;; i++) {
        json_t *instance = http_expect(scene->port, "GET", location, NULL, NULL, 200);
        const char *status = json_string_value(json_object_get(instance, "status"));
        bool done = status && strcmp(status, "completed") == 0;
        json_decref(instance);
        if (done)
            break;
        assert_true(i < HTTP_SCENE_PATIENCE_MS / 20);
        usleep(20 * 1000);
    }
    assert_int_equal(fixture_int(scene->database->conn, "SELECT read FROM message WHERE id = 2"),
                     1);
}

static json_t *post(const struct http_scene *scene, const char *id, const char *what,
                    const char *body, int status)
{
    char path[160];
    snprintf(path, sizeof path, "/v1/instances/%s/%s", id, what);
    return http_expect(scene->port, "POST", path, HTTP_JSON, body, status);
}

static void an_instance_goes_on_with_its_event_and_is_resumed(void **state)
{
    struct http_scene *scene = *state;
    char path[160];
    json_t *started = http_scene_run(scene, "wait", "{}", 200);
    const char *id = json_string_value(json_object_get(started, "id"));
    json_t *answer = post(scene, id, "events/other", "{}", 409);
    http_expect_text(answer, "status", "blocked");
    json_decref(answer);
    answer = post(scene, id, "resume", "{}", 409);
    json_decref(answer);
    answer = post(scene, id, "events/paid", "{\"payload\":\"stop\"}", 422);
    json_decref(answer);
    answer = post(scene, id, "events/paid", "{\"payload\":\"7 EUR\"}", 200);
    http_expect_text(answer, "status", "completed");
    http_expect_text(json_object_get(answer, "output"), "paid", "7 EUR");
    json_decref(answer);
    snprintf(path, sizeof path, "/v1/instances/%s/history", id);
    answer = http_expect(scene->port, "GET", path, NULL, NULL, 200);
    assert_true(json_array_size(json_object_get(answer, "executions")) >= 3);
    json_decref(answer);
    json_decref(started);
    answer = post(scene, "00000000-0000-0000-0000-000000000001", "resume", "{}", 404);
    http_expect_text(answer, "status", "missing");
    json_decref(answer);
    answer =
        http_expect(scene->port, "GET",
                    "/v1/instances/00000000-0000-0000-0000-000000000001/history", NULL, NULL, 404);
    json_decref(answer);
    json_decref(http_expect(scene->port, "GET", "/v1/instances/xyz", NULL, NULL, 404));
}

static void lists_go_on_after_their_last_row(void **state)
{
    struct http_scene *scene = *state;
    char path[200] = "/v1/instances?workflow=wait&status=idle&limit=2";
    int n = 0, n_pages = 0;
    for (int i = 0; i < 5; i++)
        json_decref(http_scene_run(scene, "wait", "{}", 200));
    json_decref(http_scene_run(scene, "read", "{\"id\":1}", 200));
    for (bool more = true; more; n_pages++) {
        json_t *page = http_expect(scene->port, "GET", path, NULL, NULL, 200);
        const char *next = json_string_value(json_object_get(page, "next"));
        n += (int)json_array_size(json_object_get(page, "instances"));
        more = next != NULL;
        if (more)
            snprintf(path, sizeof path, "/v1/instances?workflow=wait&status=idle&limit=2&after=%s",
                     next);
        json_decref(page);
    }
    assert_int_equal(n, 5);
    assert_int_equal(n_pages, 3);
    json_t *all = http_expect(scene->port, "GET", "/v1/instances?all=true", NULL, NULL, 200);
    assert_int_equal(json_array_size(json_object_get(all, "instances")), 6);
    json_decref(all);
    static const char *const bad[] = {"limit=0",  "limit=x", "limit=1001", "after=x",
                                      "status=x", "all=x",   "what=x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(path, sizeof path, "/v1/instances?%s", bad[i]);
        json_decref(http_expect(scene->port, "GET", path, NULL, NULL, 400));
    }
}

static void an_event_starts_the_workflows_that_name_it(void **state)
{
    struct http_scene *scene = *state;
    json_t *answer = http_expect(scene->port, "POST", "/v1/events/ring", HTTP_JSON,
                                 "{\"payload\":{\"note\":\"hello\"}}", 202);
    json_t *started = json_array_get(json_object_get(answer, "started"), 0);
    assert_int_equal(json_array_size(json_object_get(answer, "started")), 1);
    http_expect_text(started, "workflow", "wait");
    fixture_eventually_true(scene->database->conn,
                            "SELECT count(*) = 1 FROM latchkey.instance WHERE status = 'idle' AND"
                            " input->>'note' = 'hello'",
                            HTTP_SCENE_PATIENCE_MS);
    json_decref(answer);
    json_decref(http_expect(scene->port, "POST", "/v1/events/nobody", NULL, NULL, 404));
    json_decref(
        http_expect(scene->port, "POST", "/v1/events/ring", HTTP_JSON, "{\"payload\":1}", 400));
}

static void jobs_are_listed(void **state)
{
    struct http_scene *scene = *state;
    fixture_exec(scene->database->conn,
                 "INSERT INTO latchkey.job (id, kind, workflow, instance, input, dead)"
                 " SELECT gen_random_uuid(), 'start', 'read', gen_random_uuid(), '{}', true"
                 " FROM generate_series(1, 3)");
    json_t *jobs = http_expect(scene->port, "GET", "/v1/jobs?dead=true&limit=2", NULL, NULL, 200);
    assert_int_equal(json_array_size(json_object_get(jobs, "jobs")), 2);
    assert_true(json_is_string(json_object_get(jobs, "next")));
    json_decref(jobs);
    json_decref(http_expect(scene->port, "GET", "/v1/jobs?dead=maybe", NULL, NULL, 400));
}

/* ---- the database goes away ---- */

struct lost {
    struct http_scene *scene;
    struct pg_proxy *proxy;
};

static int lost_set_up(void **state)
{
    struct lost *lost = calloc(1, sizeof *lost);
    struct fault fault;
    if (!lost || http_scene_prepare((void **)&lost->scene) != 0 ||
        !pg_proxy_start(lost->scene->database->conninfo, &lost->proxy, &fault))
        return 1;
    http_scene_start(lost->scene,
                     (const char *const[]){"--database", pg_proxy_conninfo(lost->proxy), NULL});
    *state = lost;
    return 0;
}

static int lost_tear_down(void **state)
{
    struct lost *lost = *state;
    int failed = http_scene_tear_down((void **)&lost->scene);
    pg_proxy_stop(lost->proxy);
    free(lost);
    return failed;
}

static void without_a_database_requests_are_answered_503(void **state)
{
    struct lost *lost = *state;
    struct http_scene *scene = lost->scene;
    json_decref(http_scene_run(scene, "read", "{\"id\":1}", 200));
    pg_proxy_set_away(lost->proxy, true);
    pg_proxy_cut(lost->proxy);
    static const char *const requests[] = {
        "GET /v1/instances HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /v1/events/ring HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        "POST /v1/workflows/odd/instances HTTP/1.1\r\nHost: localhost\r\n" HTTP_JSON
        "Content-Length: 21\r\n\r\n{\"input\":{\"what\":\"\"}}",
    };
    enum { N_REQUESTS = sizeof requests / sizeof *requests };
    int fds[N_REQUESTS];
    for (int i = 0; i < N_REQUESTS; i++) { /* each waits for a connection: all at once */
        fds[i] = http_connect(scene->port, NULL);
        http_write_chars(fds[i], requests[i]);
    }
    json_decref(http_expect(scene->port, "GET", "/healthz", NULL, NULL, 200));
    for (int i = 0; i < N_REQUESTS; i++) {
        struct http_answer answer;
        http_read(fds[i], &answer, true);
        assert_int_equal(answer.status, 503);
        assert_non_null(
            strstr(answer.body, i == N_REQUESTS - 1 ? "\"status\":\"failed\"" : "\"status\":503"));
        http_answer_done(&answer);
        close(fds[i]);
    }
    pg_proxy_set_away(lost->proxy, false);
    for (int i = 0;; i++) {
        struct http_answer answer;
        http_call(scene->port, "GET", "/readyz", NULL, NULL, &answer);
        int status = answer.status;
        http_answer_done(&answer);
        if (status == 200)
            break;
        assert_true(i < 100);
        usleep(100 * 1000);
    }
    expect_run(scene, "read", "{\"id\":1}", 200, "completed");
    assert_int_equal(fixture_int(scene->database->conn, "SELECT read FROM message WHERE id = 1"),
                     2);
}

static void a_commit_whose_answer_nobody_can_give_is_unknown(void **state)
{
    struct lost *lost = *state;
    struct http_scene *scene = lost->scene;
    json_decref(http_scene_run(scene, "read", "{\"id\":1}", 200));
    pg_proxy_strike(lost->proxy, PG_PROXY_HOLD_AFTER_COMMIT, 0, 1);
    int fd = http_connect(scene->port, NULL);
    http_write_chars(fd,
                     "POST /v1/workflows/read/instances HTTP/1.1\r\nHost: localhost\r\n" HTTP_JSON
                     "Content-Length: 18\r\n\r\n{\"input\":{\"id\":5}}");
    fixture_eventually_true(scene->database->conn, "SELECT read = 1 FROM message WHERE id = 5",
                            HTTP_SCENE_PATIENCE_MS);
    pg_proxy_set_away(lost->proxy, true);
    pg_proxy_cut(lost->proxy);
    struct http_answer answer;
    http_read(fd, &answer, true);
    assert_int_equal(answer.status, 503);
    assert_non_null(strstr(answer.body, "\"status\":\"unknown\""));
    http_answer_done(&answer);
    close(fd);
    pg_proxy_set_away(lost->proxy, false);
}

int http_instances_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, http_scene_set_up, http_scene_tear_down)
#define LOST(name) cmocka_unit_test_setup_teardown(name, lost_set_up, lost_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(outcomes_have_the_statuses_that_stand_for_them),
        TEST(who_gets_no_lock_is_told_when_to_come_back),
        TEST(a_row_that_others_changed_is_a_conflict),
        TEST(a_key_gives_the_same_answer_again),
        TEST(an_instance_left_to_the_background_is_found_where_it_says),
        TEST(an_instance_goes_on_with_its_event_and_is_resumed),
        TEST(lists_go_on_after_their_last_row),
        TEST(an_event_starts_the_workflows_that_name_it),
        TEST(jobs_are_listed),
        LOST(without_a_database_requests_are_answered_503),
        LOST(a_commit_whose_answer_nobody_can_give_is_unknown),
    };
    return cmocka_run_group_tests_name("http_instances", tests, NULL, NULL);
}
