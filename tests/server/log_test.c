/* Log lines of a host: their form, whose work they tell of, and what they never tell. */
#include "server_tests.h"

#include "http_scene.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"
#define TOKEN "a-secret-that-nobody-may-read"

enum {
    LINES_BYTES_MAX = 1 << 20,
    TERMINAL_BYTES_MAX = 1 << 16,
};

/* Says what it is given, waits for an event, says that as well. */
static const char speaker[] = "workflow: say\n"
                              "input:\n  what: string\n"
                              "start: one\n"
                              "activities:\n"
                              "  one:\n"
                              "    enable-exclusive-lock: true\n"
                              "    lock-context: '{\"secret-path\", input.what}'\n"
                              "    script: log.warn(input.what)\n"
                              "    navigation:\n      - to: two\n"
                              "  two:\n"
                              "    wait-for: go\n"
                              "    script: log.error(event.payload)\n";

static void put_speaker(const struct http_scene *scene)
{
    char path[128];
    snprintf(path, sizeof path, "%s/say.yaml", scene->directory);
    FILE *stream = fopen(path, "w");
    assert_non_null(stream);
    fputs(speaker, stream);
    assert_int_equal(fclose(stream), 0);
}

/* Every line that the host has written so far, as JSON: yours to json_decref. What was written in
 * part is left for the next time. */
static json_t *lines_of(const struct http_scene *scene)
{
    static char text[LINES_BYTES_MAX];
    json_t *lines = json_array();
    struct fault fault;
    ssize_t length = pread(scene->host.err_fd, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *object = NULL;
        if (!json_read("the line", line, (size_t)(end - line), &object, &fault))
            fail_msg("%s: %.*s", fault.text, (int)(end - line), line);
        json_array_append_new(lines, object);
    }
    return lines;
}

static bool has(const json_t *line, const char *name, const char *value)
{
    const char *text = json_string_value(json_object_get(line, name));
    return text && strcmp(text, value) == 0;
}

/* The line with that value of a field in that part; waits for it. Yours to json_decref. */
static json_t *find_line(const struct http_scene *scene, const char *part, const char *name,
                         const char *value)
{
    for (int i = 0; i < HTTP_SCENE_PATIENCE_MS / 10; i++) {
        size_t at;
        json_t *line, *found = NULL, *lines = lines_of(scene);
        json_array_foreach(lines, at, line)
        {
            if (!found && has(line, "part", part) && has(line, name, value))
                found = json_incref(line);
        }
        json_decref(lines);
        if (found)
            return found;
        usleep(10 * 1000);
    }
    fail_msg("no line of %s has %s %s", part, name, value);
    return NULL;
}

static void start_with_json(struct http_scene *scene, const char *tokens)
{
    put_speaker(scene);
    http_scene_start(
        scene, (const char *const[]){"--log", "json", tokens ? "--tokens" : NULL, tokens, NULL});
}

/* The result's; out has room for a UUID. */
static void name_instance(const json_t *result, char out[40])
{
    snprintf(out, 40, "%s", json_string_value(json_object_get(result, "id")));
}

static void lines_of_a_request_and_of_its_work_carry_its_ids(void **state)
{
    struct http_scene *scene = *state;
    char instance[40], path[128];
    start_with_json(scene, NULL);
    json_t *result = http_expect(scene->port, "POST", "/v1/workflows/say/instances",
                                 HTTP_JSON "X-Request-Id: first-1\r\n"
                                           "traceparent: 00-" TRACE "-" PARENT "-01\r\n",
                                 "{\"input\":{\"what\":\"a\\n\\\"b\\\",\\u001b[31m\"}}", 200);
    name_instance(result, instance);
    json_decref(result);
    json_t *line = find_line(scene, "script", "request_id", "first-1");
    http_expect_text(line, "message", "a\n\"b\",\x1b[31m");
    http_expect_text(line, "level", "warning");
    http_expect_text(line, "trace_id", TRACE);
    http_expect_text(line, "workflow", "say");
    http_expect_text(line, "activity", "one");
    http_expect_text(line, "instance", instance);
    json_decref(line);
    line = find_line(scene, "http", "request_id", "first-1");
    http_expect_text(line, "message", "POST /v1/workflows/{name}/instances 200");
    http_expect_text(line, "level", "info");
    http_expect_text(line, "method", "POST");
    http_expect_text(line, "route", "/v1/workflows/{name}/instances");
    http_expect_text(line, "trace_id", TRACE);
    http_expect_text(line, "parent_id", PARENT);
    http_expect_text(line, "instance", instance);
    http_expect_text(line, "outcome", "idle");
    http_expect_text(line, "peer", "127.0.0.1");
    assert_int_equal(json_integer_value(json_object_get(line, "status")), 200);
    assert_true(json_real_value(json_object_get(line, "duration_ms")) > 0);
    json_decref(line);
    snprintf(path, sizeof path, "/v1/instances/%s/events/go", instance);
    json_decref(http_expect(scene->port, "POST", path, HTTP_JSON "X-Request-Id: second-2\r\n",
                            "{\"payload\":\"heard\"}", 200));
    line = find_line(scene, "script", "request_id", "second-2");
    http_expect_text(line, "message", "heard");
    http_expect_text(line, "level", "error");
    http_expect_text(line, "activity", "two");
    http_expect_text(line, "instance", instance);
    assert_null(json_object_get(line, "trace_id"));
    json_decref(line);
}

static void only_a_traceparent_that_is_one_is_taken_over(void **state)
{
    static const struct {
        const char *text;
        bool taken;
    } cases[] = {
        {"00-" TRACE "-" PARENT "-00", true},
        {"cc-" TRACE "-" PARENT "-01", true},
        {"cc-" TRACE "-" PARENT "-01-more", true},
        {"00-" TRACE "-" PARENT "-01-more", false},
        {"cc-" TRACE "-" PARENT "-01more", false},
        {"ff-" TRACE "-" PARENT "-01", false},
        {"00-00000000000000000000000000000000-" PARENT "-01", false},
        {"00-" TRACE "-0000000000000000-01", false},
        {"00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01", false},
        {"00-" TRACE "-" PARENT "-0", false},
        {"00-" TRACE "-" PARENT, false},
        {"00-0af7651916cd43dd8448eb211c80319-" PARENT "a-01", false},
        {"-", false},
    };
    struct http_scene *scene = *state;
    start_with_json(scene, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char headers[256], id[16];
        snprintf(id, sizeof id, "case-%zu", i);
        snprintf(headers, sizeof headers, "X-Request-Id: %s\r\ntraceparent: %s\r\n", id,
                 cases[i].text);
        json_decref(http_expect(scene->port, "GET", "/healthz", headers, NULL, 200));
        json_t *line = find_line(scene, "http", "request_id", id);
        bool taken = has(line, "trace_id", TRACE) && has(line, "parent_id", PARENT);
        if (taken != cases[i].taken || (!taken && json_object_get(line, "trace_id")))
            fail_msg("%s: taken %d", cases[i].text, taken);
        json_decref(line);
    }
}

static void neither_tokens_nor_lock_paths_are_told(void **state)
{
    struct http_scene *scene = *state;
    char tokens[128], path[160];
    struct http_answer answer;
    static const char with_token[] = HTTP_JSON "Authorization: Bearer " TOKEN "\r\n";
    /* printf %s TOKEN | sha256sum */
    snprintf(tokens, sizeof tokens, "%s/tokens", scene->directory);
    FILE *stream = fopen(tokens, "w");
    assert_non_null(stream);
    fprintf(stream, "admin 8927ad4a47b986cb936f48d15c71b38abab50a7b18682388582773a757fd1383 ann\n");
    assert_int_equal(fclose(stream), 0);
    start_with_json(scene, tokens);
    json_decref(http_expect(scene->port, "POST", "/v1/workflows/say/instances", with_token,
                            "{\"input\":{\"what\":\"hello\"}}", 200));
    http_call(scene->port, "DELETE", "/v1/locks/secret-path", with_token, NULL, &answer);
    assert_int_equal(answer.status, 404);
    http_answer_done(&answer);
    snprintf(path, sizeof path, "/v1/locks?token=%s", TOKEN);
    http_call(scene->port, "GET", path, "Authorization: Bearer wrong-" TOKEN "\r\n", NULL, &answer);
    assert_int_equal(answer.status, 401);
    http_answer_done(&answer);
    json_t *line = find_line(scene, "http", "message", "DELETE /v1/locks/{path*} 404");
    http_expect_text(line, "by", "ann");
    json_decref(line);
    json_decref(find_line(scene, "http", "message", "GET /v1/locks 401"));
    assert_false(http_scene_has_said(scene, TOKEN));
    assert_false(http_scene_has_said(scene, "secret-path"));
}

/* ---- which form ---- */

/* Runs the speaker once; what it wrote to standard error, yours to free. terminal: that is one. */
static char *words_of_a_run(const struct http_scene *scene, bool terminal)
{
    char file[128], *text = calloc(1, TERMINAL_BYTES_MAX);
    struct program program;
    int fd;
    assert_non_null(text);
    snprintf(file, sizeof file, "%s/say.yaml", scene->directory);
    const char *const arguments[] = {"run", file, "--input", "{\"what\":\"said\"}", NULL};
    if (!terminal) {
        program_start(&program, arguments);
        program_wait(&program);
        program_expect(&program, 0);
        snprintf(text, TERMINAL_BYTES_MAX, "%s", program.err);
        program_done(&program);
        return text;
    }
    pid_t pid = forkpty(&fd, NULL, NULL, NULL);
    assert_true(pid >= 0);
    if (pid == 0) {
        execl(LATCHKEY_PROGRAM, LATCHKEY_PROGRAM, "run", file, "--input", arguments[3], NULL);
        _exit(127);
    }
    int status;
    for (ssize_t n, length = 0; length < TERMINAL_BYTES_MAX - 1; length += n)
        if ((n = read(fd, text + length, (size_t)(TERMINAL_BYTES_MAX - 1 - length))) <= 0)
            break; /* EIO: the program has ended */
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(fd);
    return text;
}

static void expect_form(const struct http_scene *scene, const char *variable, bool terminal,
                        bool json)
{
    if (variable)
        setenv("LATCHKEY_LOG", variable, 1);
    else
        unsetenv("LATCHKEY_LOG");
    char *text = words_of_a_run(scene, terminal);
    setenv("LATCHKEY_LOG", "plain", 1);
    bool is_json = strstr(text, "\"level\":\"warning\",\"part\":\"script\",\"message\":\"said\"");
    bool is_plain = strstr(text, "Z warning script: said workflow=say activity=one instance=");
    if (is_json != json || is_plain == json)
        fail_msg("%s on %s: %s", variable ? variable : "nothing",
                 terminal ? "a terminal" : "a file", text);
    free(text);
}

static void lines_are_plain_on_a_terminal_and_json_elsewhere(void **state)
{
    struct http_scene *scene = *state;
    put_speaker(scene);
    expect_form(scene, NULL, /* terminal= */ true, /* json= */ false);
    expect_form(scene, NULL, /* terminal= */ false, /* json= */ true);
    expect_form(scene, "auto", /* terminal= */ false, /* json= */ true);
    expect_form(scene, "json", /* terminal= */ true, /* json= */ true);
    expect_form(scene, "plain", /* terminal= */ false, /* json= */ false);
}

static void another_form_is_refused(void **state)
{
    struct program program;
    (void)state;
    program_run(&program, "serve", "--log", "xml");
    program_expect(&program, 2);
    program_expect_err(&program, "--log wants json, plain or auto, not 'xml'");
    program_done(&program);
    setenv("LATCHKEY_LOG", "xml", 1);
    program_run(&program, "serve");
    setenv("LATCHKEY_LOG", "plain", 1);
    program_expect(&program, 2);
    program_expect_err(&program, "LATCHKEY_LOG wants json, plain or auto, not 'xml'");
    program_done(&program);
}

int log_tests(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, http_scene_prepare, http_scene_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(lines_of_a_request_and_of_its_work_carry_its_ids),
        TEST(only_a_traceparent_that_is_one_is_taken_over),
        TEST(neither_tokens_nor_lock_paths_are_told),
        TEST(lines_are_plain_on_a_terminal_and_json_elsewhere),
        cmocka_unit_test(another_form_is_refused),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
