/* Definitions over HTTP, the preview of lock contexts, and who may use which route. */
#include "server_tests.h"

#include "http_scene.h"
#include "text.h"

#include <openssl/sha.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char NEW_YAML[] = "workflow: fresh\nstart: x\nactivities:\n  x:\n"
                               "    script: output.n = 1\n";
static const char NEWER_YAML[] = "workflow: fresh\nstart: x\nactivities:\n  x:\n"
                                 "    script: output.n = 2\n";

static json_t *put(const struct http_scene *scene, const char *condition, const char *text,
                   int status)
{
    char headers[200];
    snprintf(headers, sizeof headers, HTTP_YAML "%s", condition);
    return http_expect(scene->port, "PUT", "/v1/workflows/fresh", headers, text, status);
}

static void a_definition_is_changed_only_from_what_was_read(void **state)
{
    struct http_scene *scene = *state;
    struct http_answer answer;
    char tag[32];
    json_decref(put(scene, "", NEW_YAML, 428));
    json_decref(put(scene, "If-Match: \"1\"\r\n", NEW_YAML, 412));
    json_decref(put(scene, "If-Match: rubbish\r\n", NEW_YAML, 412));
    json_decref(put(scene, "If-None-Match: *\r\n", NEW_YAML, 201));
    json_decref(put(scene, "If-None-Match: *\r\n", NEWER_YAML, 412));
    http_call(scene->port, "GET", "/v1/workflows/fresh", NULL, NULL, &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, NEW_YAML);
    http_field_of(&answer, "ETag", tag, sizeof tag);
    assert_string_equal(tag, "\"1\"");
    http_answer_done(&answer);
    json_decref(http_expect(scene->port, "GET", "/v1/workflows/fresh", "If-None-Match: \"1\"\r\n",
                            NULL, 304));
    json_t *published = put(scene, "If-Match: \"1\"\r\n", NEWER_YAML, 200);
    assert_int_equal(json_integer_value(json_object_get(published, "version")), 2);
    assert_true(json_is_true(json_object_get(published, "published")));
    json_decref(published);
    json_decref(put(scene, "If-Match: \"1\"\r\n", NEW_YAML, 412));
    published = put(scene, "If-Match: *\r\n", NEWER_YAML, 200);
    assert_true(json_is_false(json_object_get(published, "published")));
    json_decref(published);
    json_t *result = http_scene_run(scene, "fresh", "{}", 200);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(result, "output"), "n")),
                     2);
    json_decref(result);
    http_call(scene->port, "GET", "/v1/workflows/fresh?version=1", NULL, NULL, &answer);
    assert_string_equal(answer.body, NEW_YAML);
    http_answer_done(&answer);
    json_decref(http_expect(scene->port, "GET", "/v1/workflows/fresh?version=3", NULL, NULL, 404));
    json_decref(http_expect(scene->port, "GET", "/v1/workflows/fresh?version=x", NULL, NULL, 400));
    json_t *list = http_expect(scene->port, "GET", "/v1/workflows", NULL, NULL, 200);
    assert_int_equal(json_array_size(json_object_get(list, "workflows")), 5);
    json_decref(list);
}

static void errors_of_a_definition_have_their_places(void **state)
{
    struct http_scene *scene = *state;
    json_t *problem = put(scene, "If-None-Match: *\r\n",
                          "workflow: fresh\nstart: x\nactivities:\n  x:\n    scirpt: a\n"
                          "    guard: '('\n",
                          400);
    json_t *errors = json_object_get(problem, "errors");
    assert_int_equal(json_array_size(errors), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(errors, 0), "line")), 5);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(errors, 0), "column")), 5);
    http_expect_text(json_array_get(errors, 0), "pointer", "");
    json_decref(problem);
    json_decref(http_expect(scene->port, "PUT", "/v1/workflows/other",
                            HTTP_YAML "If-None-Match: *\r\n", NEW_YAML, 400));
    json_decref(http_expect(scene->port, "PUT", "/v1/workflows/fresh",
                            "If-None-Match: *\r\nContent-Type: text/plain\r\n", NEW_YAML, 415));
    problem = http_expect(
        scene->port, "PUT", "/v1/workflows/fresh", HTTP_JSON "If-None-Match: *\r\n",
        "{\"workflow\":\"fresh\",\"start\":\"x\",\"activities\":{\"x\":{\"script\":\"\"}}}", 201);
    json_decref(problem);
}

static void a_publish_that_gets_no_lock_is_a_conflict(void **state)
{
    struct http_scene *scene = *state;
    fixture_exec(scene->database->conn, "BEGIN; SELECT latchkey.lock('$definitions/fresh')");
    json_decref(put(scene, "If-None-Match: *\r\n", NEW_YAML, 409));
    json_t *report = http_expect(scene->port, "POST", "/v1/definitions/reload", NULL, NULL, 202);
    http_expect_text(report, "status", "already-in-progress");
    json_decref(report);
    report = http_expect(scene->port, "POST", "/v1/definitions/refresh", HTTP_JSON,
                         "{\"ids\":[\"fresh\"]}", 202);
    json_decref(report);
    fixture_exec(scene->database->conn, "COMMIT");
    report = http_expect(scene->port, "POST", "/v1/definitions/refresh", HTTP_JSON,
                         "{\"ids\":[\"read\",\"nobody\"]}", 200);
    assert_int_equal(json_array_size(json_object_get(report, "not-found")), 1);
    json_decref(report);
    json_decref(http_expect(scene->port, "POST", "/v1/definitions/refresh", HTTP_JSON,
                            "{\"ids\":[1]}", 400));
    report = http_expect(scene->port, "POST", "/v1/definitions/reload", NULL, NULL, 200);
    assert_int_equal(json_integer_value(json_object_get(report, "files")), 4);
    json_decref(report);
}

static void lock_contexts_are_evaluated_for_samples(void **state)
{
    struct http_scene *scene = *state;
    fixture_exec(scene->database->conn, "BEGIN; SELECT latchkey.lock('message/7')");
    json_t *answer = http_expect(
        scene->port, "POST", "/v1/lock-context/evaluate", HTTP_JSON,
        "{\"workflow\":\"read\",\"activity\":\"count\",\"samples\":[{\"input\":{\"id\":7}},"
        "{\"input\":{\"id\":8}},{\"input\":{\"id\":7}},{\"input\":{\"id\":\"x\"}}]}",
        200);
    fixture_exec(scene->database->conn, "COMMIT");
    json_t *samples = json_object_get(answer, "samples");
    json_t *pairs = json_object_get(answer, "exclusions");
    json_t *first = json_array_get(samples, 0);
    assert_string_equal(json_string_value(json_array_get(json_object_get(first, "paths"), 0)),
                        "message/7");
    assert_true(json_is_null(json_object_get(first, "error")));
    assert_int_equal(json_array_size(json_object_get(first, "held_by")), 1);
    assert_int_equal(json_array_size(json_object_get(json_array_get(samples, 1), "held_by")), 0);
    assert_true(json_is_object(json_object_get(json_array_get(samples, 3), "error")));
    assert_int_equal(json_array_size(pairs), 1);
    assert_int_equal(json_integer_value(json_array_get(json_array_get(pairs, 0), 0)), 0);
    assert_int_equal(json_integer_value(json_array_get(json_array_get(pairs, 0), 1)), 2);
    json_decref(answer);
    answer = http_expect(scene->port, "POST", "/v1/lock-context/evaluate", HTTP_JSON,
                         "{\"definition\":\"workflow: w\\nstart: x\\nactivities:\\n  x:\\n"
                         "    enable-exclusive-lock: true\\n    lock-context: input.a.b\\n\","
                         "\"activity\":\"x\",\"samples\":[{}]}",
                         200);
    json_t *error = json_object_get(json_array_get(json_object_get(answer, "samples"), 0), "error");
    assert_int_equal(json_integer_value(json_object_get(error, "line")), 6);
    json_decref(answer);
    answer =
        http_expect(scene->port, "POST", "/v1/lock-context/evaluate", HTTP_JSON,
                    "{\"definition\":\"workflow: w\\n\",\"activity\":\"x\",\"samples\":[{}]}", 400);
    http_expect_text(json_array_get(json_object_get(answer, "errors"), 0), "pointer",
                     "/definition");
    json_decref(answer);
    static const char *const bad[] = {
        "{\"workflow\":\"read\",\"activity\":\"count\",\"samples\":[]}",
        "{\"workflow\":\"read\",\"activity\":\"nope\",\"samples\":[{}]}",
        "{\"workflow\":\"read\",\"activity\":\"count\",\"samples\":[1]}",
        "{\"workflow\":\"read\",\"activity\":\"count\",\"samples\":[{\"x\":1}]}",
        "{\"activity\":\"count\",\"samples\":[{}]}",
        "{\"workflow\":\"read\",\"version\":-1,\"activity\":\"count\",\"samples\":[{}]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        json_decref(
            http_expect(scene->port, "POST", "/v1/lock-context/evaluate", HTTP_JSON, bad[i], 400));
    json_decref(http_expect(scene->port, "POST", "/v1/lock-context/evaluate", HTTP_JSON,
                            "{\"workflow\":\"nope\",\"activity\":\"x\",\"samples\":[{}]}", 404));
}

/* ---- roles ---- */

enum role {
    NOBODY,
    VIEWER,
    OPERATOR,
    DESIGNER,
    ADMIN,
    N_ROLES,
};

static const char *const role_names[N_ROLES] = {"none", "viewer", "operator", "designer", "admin"};

/* The least role of every route: one that is not here fails the test. */
static const struct {
    const char *method;
    const char *path;
    enum role role;
} rules[] = {
    {"post", "/v1/workflows/{name}/instances", OPERATOR},
    {"get", "/v1/instances", VIEWER},
    {"get", "/v1/instances/{id}", VIEWER},
    {"get", "/v1/instances/{id}/history", VIEWER},
    {"post", "/v1/instances/{id}/events/{event}", OPERATOR},
    {"post", "/v1/instances/{id}/resume", OPERATOR},
    {"post", "/v1/events/{event}", OPERATOR},
    {"get", "/v1/workflows", VIEWER},
    {"get", "/v1/workflows/{name}", VIEWER},
    {"put", "/v1/workflows/{name}", DESIGNER},
    {"post", "/v1/definitions/reload", OPERATOR},
    {"post", "/v1/definitions/refresh", OPERATOR},
    {"post", "/v1/lock-context/evaluate", DESIGNER},
    {"get", "/v1/locks", VIEWER},
    {"delete", "/v1/locks/{path}", OPERATOR},
    {"get", "/v1/stream", VIEWER},
    {"get", "/v1/jobs", VIEWER},
    {"get", "/v1/openapi.json", VIEWER},
    {"get", "/metrics", VIEWER},
    {"get", "/healthz", NOBODY},
    {"get", "/readyz", NOBODY},
};

static enum role rule_of(const char *method, const char *path)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i].method, method) == 0 && strcmp(rules[i].path, path) == 0)
            return rules[i].role;
    fail_msg("%s %s is not in the table of this test: who may?", method, path);
    return ADMIN;
}

/* An instance's id fits every parameter, and names nothing. */
static void fill(const char *path, char *out)
{
    while (*path) {
        if (*path == '{') {
            path += strcspn(path, "}") + 1;
            out += sprintf(out, "00000000-0000-7000-8000-000000000000");
        } else {
            *out++ = *path++;
        }
    }
    *out = '\0';
}

static int status_for(const struct http_scene *scene, const char *method, const char *path,
                      const char *token)
{
    struct http_answer answer;
    char upper[8] = "", filled[200], request[800];
    bool has_body = strcmp(method, "post") == 0 || strcmp(method, "put") == 0;
    for (size_t i = 0; method[i]; i++)
        upper[i] = (char)(method[i] - 'a' + 'A');
    fill(path, filled);
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s%s%s%s\r\n", upper,
             filled, token ? "Authorization: Bearer " : "", token ? token : "", token ? "\r\n" : "",
             has_body ? HTTP_JSON "Content-Length: 0\r\n" : "");
    int fd = http_connect(scene->port, NULL);
    http_write_chars(fd, request);
    http_read(fd, &answer, strcmp(path, "/v1/stream") != 0);
    int status = answer.status;
    http_answer_done(&answer);
    close(fd);
    return status;
}

static json_t *read_openapi(const struct http_scene *scene, const char *token)
{
    char headers[100] = "";
    if (token)
        snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\n", token);
    return http_expect(scene->port, "GET", "/v1/openapi.json", headers, NULL, 200);
}

static void check_route(const struct http_scene *scene, const char *method, const char *path,
                        json_t *operation, const char *const *tokens)
{
    enum role least = rule_of(method, path);
    char code[8];
    http_expect_text(operation, "x-latchkey-role", role_names[least]);
    assert_true(status_for(scene, method, path, "not-a-token") == 401 || least == NOBODY);
    for (int role = NOBODY; role < N_ROLES; role++) {
        int status = status_for(scene, method, path, tokens[role]);
        int refused = role == NOBODY ? 401 : 403;
        if (role < (int)least && status != refused)
            fail_msg("%s %s as %s: %d", method, path, role_names[role], status);
        if (role >= (int)least && (status == 401 || status == 403 || status == 0))
            fail_msg("%s %s as %s: %d", method, path, role_names[role], status);
        snprintf(code, sizeof code, "%d", status);
        if (!json_object_get(json_object_get(operation, "responses"), code))
            fail_msg("%s %s answered %s, which is not documented", method, path, code);
    }
}

static char *tokens_file(const char *const *tokens)
{
    struct text text;
    unsigned char hash[SHA256_DIGEST_LENGTH];
    text_init(&text, 4096);
    for (int role = VIEWER; role < N_ROLES; role++) {
        SHA256((const unsigned char *)tokens[role], strlen(tokens[role]), hash);
        text_addf(&text, "%s ", role_names[role]);
        for (size_t i = 0; i < sizeof hash; i++)
            text_addf(&text, "%02x", hash[i]);
        text_addf(&text, " the-%s\n", role_names[role]);
    }
    char *path = program_file(text_chars(&text));
    text_done(&text);
    return path;
}

static void every_route_has_its_role_and_its_statuses(void **state)
{
    struct http_scene *scene = *state;
    static const char *const tokens[N_ROLES] = {NULL, "viewer-token", "operator-token",
                                                "designer-token", "admin-token"};
    char *file = tokens_file(tokens);
    const char *path, *method;
    json_t *item, *operation;
    size_t n = 0;
    http_scene_start(scene, (const char *const[]){"--tokens", file, NULL});
    json_t *document = read_openapi(scene, tokens[VIEWER]);
    http_expect_text(document, "openapi", "3.1.0");
    json_object_foreach(json_object_get(document, "paths"), path, item)
    {
        json_object_foreach(item, method, operation)
        {
            check_route(scene, method, path, operation, tokens);
            n++;
        }
    }
    assert_int_equal(n, sizeof rules / sizeof *rules);
    json_decref(document);
    json_decref(
        http_expect(scene->port, "GET", "/v1/instances?token=viewer-token", NULL, NULL, 401));
    http_scene_wait_for(scene, "by=the-operator", 1);
    for (int role = VIEWER; role < N_ROLES; role++)
        assert_false(http_scene_has_said(scene, tokens[role]));
    unlink(file);
    free(file);
}

/* Who published is the token's name. */
static void what_is_published_tells_by_whom(void **state)
{
    struct http_scene *scene = *state;
    static const char *const tokens[N_ROLES] = {NULL, "a", "b", "c", "d"};
    char *file = tokens_file(tokens);
    http_scene_start(scene, (const char *const[]){"--tokens", file, NULL});
    json_decref(http_expect(scene->port, "PUT", "/v1/workflows/fresh",
                            HTTP_YAML "If-None-Match: *\r\nAuthorization: bearer c\r\n", NEW_YAML,
                            201));
    fixture_eventually_true(scene->database->conn,
                            "SELECT published_by = 'the-designer' FROM latchkey.definition WHERE"
                            " workflow = 'fresh'",
                            HTTP_SCENE_PATIENCE_MS);
    unlink(file);
    free(file);
}

int http_workflows_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, http_scene_set_up, http_scene_tear_down)
#define TOKENS(name) cmocka_unit_test_setup_teardown(name, http_scene_prepare, http_scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_definition_is_changed_only_from_what_was_read),
        TEST(errors_of_a_definition_have_their_places),
        TEST(a_publish_that_gets_no_lock_is_a_conflict),
        TEST(lock_contexts_are_evaluated_for_samples),
        TOKENS(every_route_has_its_role_and_its_statuses),
        TOKENS(what_is_published_tells_by_whom),
    };
    return cmocka_run_group_tests_name("http_workflows", tests, NULL, NULL);
}
