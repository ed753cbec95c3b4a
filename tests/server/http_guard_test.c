/* Requests that are malformed, too large, too slow, from too many, or from where they should not
 * be. */
#include "server_tests.h"

#include "http_scene.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_raw(const struct http_scene *scene, const char *bytes, size_t length, int status)
{
    struct http_answer answer;
    int fd = http_connect(scene->port, NULL);
    http_write(fd, bytes, length);
    http_read(fd, &answer, true);
    if (answer.status != status)
        print_error("%.200s\n-> %s%s\n", bytes, answer.head, answer.body);
    assert_int_equal(answer.status, status);
    assert_non_null(strstr(answer.body, "urn:latchkey:problem:"));
    assert_true(answer.closed);
    http_answer_done(&answer);
    close(fd);
}

static void expect_served(const struct http_scene *scene)
{
    json_decref(http_expect(scene->port, "GET", "/healthz", NULL, NULL, 200));
}

static void what_could_be_read_in_two_ways_is_refused(void **state)
{
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30\r\n\r\n"
         "DELETE /v1/locks/* HTTP/1.1\r\n\r\n",
         400},
        {"POST /v1/events/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
         "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
         400},
        {"POST /v1/events/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
         "Content-Length: 3\r\n\r\n{} ",
         400},
        {"POST /v1/events/x HTTP/1.1\r\nHost: localhost\r\nContent-Length : 2\r\n\r\n{}", 400},
        {"GET /healthz HTTP/1.1\r\nHost: localhost\r\n: empty\r\n\r\n", 400},
        {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", 400},
        {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400},
        {"GET /healthz HTTP/1.1\r\n\r\n", 400},
        {"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421},
        {"GET /healthz HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 421},
        {"GET /healthz HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", 421},
        {"POST /v1/definitions/reload HTTP/1.1\r\nHost: localhost\r\nOrigin: "
         "http://evil.example\r\nContent-Length: 0\r\n\r\n",
         403},
        {"POST /v1/definitions/reload HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n"
         "Content-Length: 0\r\n\r\n",
         403},
        {"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 501},
        {"nonsense\r\n\r\n", 400},
        {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nExpect: a miracle\r\n\r\n", 417},
        {"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
        {"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
        {"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
        {"GET /healthz HTTP/3.0\r\nHost: localhost\r\n\r\n", 505},
        {"GET /healthz HTTP/1.1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
        {"GET //healthz:80:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
        {"\r\nGET / HTTP/1.1\r\n", 400},
        {"\x16\x03\x01\x02\n", 400},
    };
    struct http_scene *scene = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_raw(scene, cases[i].request, strlen(cases[i].request), cases[i].status);
    expect_raw(scene, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", 51, 400);
    expect_served(scene);
}

/* evhttp takes targets apart as well: what it does not like must be refused before. */
static void every_target_is_answered_with_a_problem(void **state)
{
    static const char *const forms[] = {"/x@x", "/@x", "/@", "/x?@", "/x?a=@", "/@/?@"};
    struct http_scene *scene = *state;
    for (int c = '!'; c <= '~'; c++) {
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
            struct http_answer answer;
            char path[32];
            snprintf(path, sizeof path, "%s", forms[i]);
            for (char *at = path; *at; at++)
                *at = *at == '@' ? (char)c : *at;
            http_call(scene->port, "GET", path, NULL, NULL, &answer);
            if ((answer.status != 404 && answer.status != 400) ||
                !strstr(answer.body, "urn:latchkey:problem:"))
                fail_msg("%s: %s%s", path, answer.head, answer.body);
            http_answer_done(&answer);
        }
    }
}

static void heads_and_bodies_that_are_too_large_are_refused(void **state)
{
    struct http_scene *scene = *state;
    size_t size = 3 << 20;
    char *bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, 'a', size);
    int n = sprintf(bytes, "GET /");
    bytes[n] = 'a';
    expect_raw(scene, bytes, 100 * 1000, 414);
    n = sprintf(bytes, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ");
    bytes[n] = 'a';
    expect_raw(scene, bytes, 100 * 1000, 431);
    n = sprintf(bytes, "POST /v1/events/x HTTP/1.1\r\nHost: localhost\r\n" HTTP_JSON
                       "Content-Length: 2000000\r\n\r\n");
    bytes[n] = 'a';
    expect_raw(scene, bytes, (size_t)n + 1000, 413);
    /* the body of a PUT within the limit, that is no definition */
    struct http_answer answer;
    char *body = malloc((1 << 20) + 1);
    assert_non_null(body);
    memset(body, 'a', 1 << 20);
    body[1 << 20] = '\0';
    http_call(scene->port, "PUT", "/v1/workflows/x", HTTP_YAML "If-None-Match: *\r\n", body,
              &answer);
    assert_int_equal(answer.status, 400);
    http_answer_done(&answer);
    free(body);
    free(bytes);
    expect_served(scene);
}

#define CHUNKED                                                                                    \
    "POST /v1/events/x HTTP/1.1\r\nHost: localhost\r\n" HTTP_JSON                                  \
    "Transfer-Encoding: chunked\r\n\r\n"

/* evhttp would answer some of them with a page of its own, and take the others. */
static void chunks_are_read_strictly(void **state)
{
    static const struct {
        const char *body;
        int status;
    } cases[] = {
        {"zz\r\n{}\r\n0\r\n\r\n", 400},
        {"0x2\r\n{}\r\n0\r\n\r\n", 400},
        {"+2\r\n{}\r\n0\r\n\r\n", 400},
        {"-2\r\n{}\r\n0\r\n\r\n", 400},
        {" 2\r\n{}\r\n0\r\n\r\n", 400},
        {"2 \r\n{}\r\n0\r\n\r\n", 400},
        {"2;a=b\r\n{}\r\n0\r\n\r\n", 400},
        {"2\n{}\r\n0\r\n\r\n", 400},
        {"2\r\n{}\n0\r\n\r\n", 400},
        {"2\r\n{}x\r\n0\r\n\r\n", 400},
        {"\r\n2\r\n{}\r\n0\r\n\r\n", 400},
        {"2\r\n{}\r\n\r\n0\r\n\r\n", 400},
        {"000000002\r\n{}\r\n0\r\n\r\n", 400},
        {"ffffffffffffffff\r\n{}", 400},
        {"ffffffff\r\n{}", 413},
        {"100001\r\n{}", 413},
        {"2\r\n{}\r\n0\r\nHost: other\r\n\r\n", 400},
        {"2\r\n{}\r\n0\r\n\n", 400},
    };
    struct http_scene *scene = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[512];
        struct http_answer answer;
        int n = snprintf(request, sizeof request, CHUNKED "%s", cases[i].body);
        expect_raw(scene, request, (size_t)n, cases[i].status);
        /* the same when it comes byte by byte */
        int fd = http_connect(scene->port, NULL);
        http_write_chars(fd, CHUNKED);
        for (const char *c = cases[i].body; *c; c++)
            http_write(fd, c, 1);
        http_read(fd, &answer, true);
        assert_int_equal(answer.status, cases[i].status);
        assert_non_null(strstr(answer.head, "Content-Type: application/problem+json"));
        http_answer_done(&answer);
        close(fd);
    }
    expect_served(scene);
}

/* Two requests in one write, and chunks that are cut anywhere. */
static void chunks_may_be_cut_anywhere(void **state)
{
    static const char body[] = "1\r\n{\r\n0B\r\n\"input\":{\"i\r\n7\r\nd\":77}}\r\n0\r\n\r\n";
    static const char head[] =
        "POST /v1/workflows/read/instances HTTP/1.1\r\nHost: localhost\r\n" HTTP_JSON
        "Transfer-Encoding: chunked\r\n\r\n";
    struct http_scene *scene = *state;
    struct http_answer answer;
    char both[1024];
    int fd = http_connect(scene->port, NULL);
    for (size_t cut = 0; cut <= strlen(body); cut++) {
        http_write_chars(fd, head);
        http_write(fd, body, cut);
        usleep(1000);
        http_write_chars(fd, body + cut);
        http_read(fd, &answer, true);
        assert_int_equal(answer.status, 200);
        assert_false(answer.closed);
        http_answer_done(&answer);
    }
    snprintf(both, sizeof both, "%s%s%s%s", head, body, head, body);
    http_write_chars(fd, both);
    for (int i = 0; i < 2; i++) {
        http_read(fd, &answer, true);
        assert_int_equal(answer.status, 200);
        http_answer_done(&answer);
    }
    close(fd);
}

static void chunks_are_taken_up_to_the_limit(void **state)
{
    struct http_scene *scene = *state;
    struct http_answer answer;
    char chunk[1 << 14];
    int fd = http_connect(scene->port, NULL);
    http_write_chars(fd,
                     "POST /v1/workflows/read/instances HTTP/1.1\r\nHost: localhost\r\n" HTTP_JSON
                     "Transfer-Encoding: chunked\r\n\r\n9\r\n{\"input\":\r\n9\r\n{\"id\":7}}\r\n"
                     "0\r\n\r\n");
    http_read(fd, &answer, true);
    assert_int_equal(answer.status, 200);
    http_answer_done(&answer);
    close(fd);
    fd = http_connect(scene->port, NULL);
    http_write_chars(fd, "POST /v1/events/x HTTP/1.1\r\nHost: localhost\r\n" HTTP_JSON
                         "Transfer-Encoding: chunked\r\n\r\n");
    memset(chunk, ' ', sizeof chunk);
    for (int i = 0; i < 200; i++) {
        http_write_chars(fd, "4000\r\n");
        http_write(fd, chunk, sizeof chunk);
        http_write_chars(fd, "\r\n");
    }
    http_read(fd, &answer, false);
    assert_true(answer.status == 413 || answer.status == 0);
    http_answer_done(&answer);
    close(fd);
    expect_served(scene);
}

static void bodies_are_read_strictly(void **state)
{
    static const char *const bodies[] = {
        "",
        "{",
        "[]",
        "1",
        "{\"inputs\":{}}",
        "{\"input\":[]}",
        "{\"input\":null}",
        "{\"input\":{\"id\":1},\"input\":{\"id\":1}}",
        "{\"input\":{\"id\":\"\xFF\"}}",
        "{\"input\":{\"id\":1e999}}",
        "{\"input\":{}}x",
    };
    struct http_scene *scene = *state;
    char deep[400] = "{\"input\":{\"id\":";
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        json_decref(http_expect(scene->port, "POST", "/v1/workflows/read/instances", HTTP_JSON,
                                bodies[i], 400));
    size_t n = strlen(deep);
    memset(deep + n, '[', 100);
    memset(deep + n + 100, ']', 100);
    strcpy(deep + n + 200, "}}");
    json_t *problem =
        http_expect(scene->port, "POST", "/v1/workflows/read/instances", HTTP_JSON, deep, 400);
    json_t *error = json_array_get(json_object_get(problem, "errors"), 0);
    assert_int_equal(json_integer_value(json_object_get(error, "line")), 1);
    assert_true(json_integer_value(json_object_get(error, "column")) > 60);
    json_decref(problem);
    json_decref(http_expect(scene->port, "POST", "/v1/workflows/read/instances",
                            "Content-Type: text/plain\r\n", "{\"input\":{\"id\":1}}", 415));
    json_decref(http_expect(scene->port, "POST", "/v1/workflows/read/instances", NULL,
                            "{\"input\":{\"id\":1}}", 415));
    json_decref(http_expect(scene->port, "GET", "/v1/instances/%zz", NULL, NULL, 400));
    json_decref(http_expect(scene->port, "GET", "/v1/workflows/%00", NULL, NULL, 400));
    json_decref(http_expect(scene->port, "GET", "/v1/workflows/%ff", NULL, NULL, 400));
    json_decref(http_expect(scene->port, "GET", "/", NULL, NULL, 404));
}

static void a_connection_serves_many_requests(void **state)
{
    struct http_scene *scene = *state;
    struct http_answer answer;
    int fd = http_connect(scene->port, NULL);
    http_write_chars(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
                         "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
                         "GET /v1/locks HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    http_read(fd, &answer, true);
    assert_int_equal(answer.status, 200);
    http_answer_done(&answer);
    http_read(fd, &answer, true);
    assert_int_equal(answer.status, 200);
    http_answer_done(&answer);
    http_read(fd, &answer, true); /* also one that came early is looked at */
    assert_int_equal(answer.status, 421);
    http_answer_done(&answer);
    close(fd);
    http_call(scene->port, "HEAD", "/healthz", NULL, NULL, &answer);
    assert_int_equal(answer.status, 200);
    http_answer_done(&answer);
    http_call(scene->port, "PATCH", "/v1/workflows/read", NULL, NULL, &answer);
    assert_int_equal(answer.status, 405);
    char allow[64];
    http_field_of(&answer, "Allow", allow, sizeof allow);
    assert_string_equal(allow, "GET, PUT");
    http_answer_done(&answer);
}

static void ids_of_requests_are_given_back_and_logged(void **state)
{
    struct http_scene *scene = *state;
    struct http_answer answer;
    char id[80];
    http_call(scene->port, "GET", "/v1/workflows/secret-name?version=1",
              "X-Request-Id: my-id-1\r\ntraceparent: "
              "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
              NULL, &answer);
    http_field_of(&answer, "X-Request-Id", id, sizeof id);
    assert_string_equal(id, "my-id-1");
    http_answer_done(&answer);
    http_scene_wait_for(scene, "GET /v1/workflows/{name} 404", 1);
    assert_true(http_scene_has_said(scene,
                                    " request_id=my-id-1 trace_id=0af7651916cd43dd8448eb211c80319c "
                                    "parent_id=b7ad6b7169203331"));
    assert_false(http_scene_has_said(scene, "secret-name"));
    http_call(scene->port, "GET", "/healthz", "X-Request-Id: bad id\r\n", NULL, &answer);
    http_field_of(&answer, "X-Request-Id", id, sizeof id);
    assert_int_equal(strlen(id), 36);
    http_answer_done(&answer);
}

/* ---- slow and many ---- */

static int impatient_set_up(void **state)
{
    if (http_scene_prepare(state) != 0)
        return 1;
    http_scene_start(*state, (const char *const[]){"--request-timeout", "1s", "--connections", "12",
                                                   "--connections-per-peer", "5", "--host",
                                                   "app.example", NULL});
    return 0;
}

static void a_request_that_drips_is_ended_however_steadily(void **state)
{
    struct http_scene *scene = *state;
    struct http_answer answer;
    static const char *const beginnings[] = {
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ",
        "POST /v1/events/x HTTP/1.1\r\nHost: localhost\r\n" HTTP_JSON
        "Content-Length: 100000\r\n\r\n",
    };
    for (int k = 0; k < 2; k++) {
        int fd = http_connect(scene->port, NULL), i = 0;
        char byte;
        http_write_chars(fd, beginnings[k]);
        while (i++ < HTTP_SCENE_PATIENCE_MS / 100 &&
               recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0) {
            http_write_chars(fd, "a");
            usleep(100 * 1000);
            if (i == 3)
                expect_served(scene);
        }
        http_read(fd, &answer, true);
        assert_int_equal(answer.status, 408);
        http_answer_done(&answer);
        close(fd);
    }
    json_decref(http_expect(scene->port, "GET", "/healthz", NULL, NULL, 200));
}

static void idle_connections_are_no_slow_requests(void **state)
{
    struct http_scene *scene = *state;
    struct http_answer answer;
    int fd = http_connect(scene->port, NULL);
    sleep(3);
    http_write_chars(fd, "GET /healthz HTTP/1.1\r\nHost: app.example:99\r\n\r\n");
    http_read(fd, &answer, true);
    assert_int_equal(answer.status, 200);
    http_answer_done(&answer);
    close(fd);
}

static int status_from(const struct http_scene *scene, const char *from, int *fd)
{
    struct http_answer answer;
    *fd = http_connect(scene->port, from);
    http_write_chars(*fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    http_read(*fd, &answer, true);
    int status = answer.status;
    http_answer_done(&answer);
    return status;
}

static void connections_are_capped_by_peer_and_in_all(void **state)
{
    struct http_scene *scene = *state;
    int fds[16];
    for (int i = 0; i < 5; i++)
        assert_int_equal(status_from(scene, "127.0.0.2", &fds[i]), 200);
    assert_int_equal(status_from(scene, "127.0.0.2", &fds[5]), 503);
    close(fds[5]);
    for (int i = 5; i < 10; i++)
        assert_int_equal(status_from(scene, "127.0.0.3", &fds[i]), 200);
    assert_int_equal(status_from(scene, "127.0.0.4", &fds[10]), 200);
    assert_int_equal(status_from(scene, "127.0.0.4", &fds[11]), 200);
    assert_int_equal(status_from(scene, "127.0.0.5", &fds[12]), 503);
    for (int i = 0; i < 13; i++)
        if (i != 5)
            close(fds[i]);
    close(fds[5]);
    for (int i = 0;; i++) { /* once they are seen to be closed */
        int status = status_from(scene, "127.0.0.2", &fds[0]);
        close(fds[0]);
        if (status == 200)
            break;
        assert_true(i < 100);
        usleep(100 * 1000);
    }
}

static void what_is_under_way_is_answered_before_the_host_ends(void **state)
{
    struct http_scene *scene = *state;
    struct http_answer answer;
    int fd = http_connect(scene->port, NULL), idle = http_connect(scene->port, NULL);
    http_write_chars(fd,
                     "POST /v1/workflows/odd/instances HTTP/1.1\r\nHost: localhost\r\n" HTTP_JSON
                     "Content-Length: 24\r\n\r\n{\"input\":{\"what\":\"nap\"}}");
    fixture_eventually_true(scene->database->conn,
                            "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND"
                            " mode = 'ExclusiveLock' AND granted",
                            HTTP_SCENE_PATIENCE_MS);
    kill(scene->host.pid, SIGTERM);
    http_scene_wait_for(scene, "stopping", 1);
    assert_int_equal(http_connect(scene->port, NULL), -1);
    http_read(fd, &answer, true);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.body, "completed"));
    assert_true(answer.closed);
    http_answer_done(&answer);
    http_scene_end(scene, 0);
    close(fd);
    close(idle);
}

static int begin_run(const struct http_scene *scene, const char *what)
{
    char request[300], body[64];
    int fd = http_connect(scene->port, NULL);
    snprintf(body, sizeof body, "{\"input\":{\"what\":\"%s\"}}", what);
    snprintf(request, sizeof request,
             "POST /v1/workflows/odd/instances HTTP/1.1\r\nHost: localhost\r\n" HTTP_JSON
             "Content-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    http_write_chars(fd, request);
    fixture_eventually_true(scene->database->conn,
                            "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND"
                            " mode = 'ExclusiveLock' AND granted",
                            HTTP_SCENE_PATIENCE_MS);
    return fd;
}

static void a_request_whose_client_went_goes_on(void **state)
{
    struct http_scene *scene = *state;
    struct linger at_once = {.l_onoff = 1};
    int fd = begin_run(scene, "nap");
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    fixture_eventually_true(scene->database->conn,
                            "SELECT coalesce(title, '') = 'nap' FROM message WHERE id = 1",
                            HTTP_SCENE_PATIENCE_MS);
    expect_served(scene);
}

static void a_host_that_is_cut_short_leaves_its_requests_without_an_answer(void **state)
{
    struct http_scene *scene = *state;
    struct http_answer answer;
    int fd = begin_run(scene, "sleep");
    kill(scene->host.pid, SIGTERM);
    http_scene_wait_for(scene, "stopping", 1);
    http_scene_stop(scene, 128 + SIGTERM);
    http_read(fd, &answer, true);
    assert_int_equal(answer.status, 0);
    http_answer_done(&answer);
    close(fd);
}

static void addresses_that_others_reach_want_tokens(void **state)
{
    struct program program;
    (void)state;
    program_run(&program, "serve", "--listen", "0.0.0.0:0");
    program_expect(&program, 2);
    program_expect_err(&program, "it wants --tokens FILE");
    program_done(&program);
    program_run(&program, "serve", "--listen", "localhost");
    program_expect(&program, 2);
    program_expect_err(&program, "--listen wants an address and a port");
    program_done(&program);
    program_run(&program, "serve", "--listen", "127.0.0.1:0", "--tokens", "/nowhere");
    program_expect(&program, 2);
    program_expect_err(&program, "/nowhere: cannot be read");
    program_done(&program);
}

int http_guard_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, http_scene_set_up, http_scene_tear_down)
#define IMPATIENT(name)                                                                            \
    cmocka_unit_test_setup_teardown(name, impatient_set_up, http_scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_could_be_read_in_two_ways_is_refused),
        TEST(heads_and_bodies_that_are_too_large_are_refused),
        TEST(every_target_is_answered_with_a_problem),
        TEST(chunks_are_read_strictly),
        TEST(chunks_may_be_cut_anywhere),
        TEST(chunks_are_taken_up_to_the_limit),
        TEST(bodies_are_read_strictly),
        TEST(a_connection_serves_many_requests),
        TEST(ids_of_requests_are_given_back_and_logged),
        IMPATIENT(a_request_that_drips_is_ended_however_steadily),
        IMPATIENT(idle_connections_are_no_slow_requests),
        IMPATIENT(connections_are_capped_by_peer_and_in_all),
        TEST(what_is_under_way_is_answered_before_the_host_ends),
        TEST(a_request_whose_client_went_goes_on),
        TEST(a_host_that_is_cut_short_leaves_its_requests_without_an_answer),
        cmocka_unit_test_setup_teardown(addresses_that_others_reach_want_tokens,
                                        message_database_set_up, message_database_tear_down),
    };
    return cmocka_run_group_tests_name("http_guard", tests, NULL, NULL);
}
