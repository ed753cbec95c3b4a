#include "http_scene.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    ARGUMENTS_MAX = 24,
    SAID_BYTES_MAX = 1 << 20,
};

static const struct {
    const char *name;
    const char *text;
} definitions[] = {
    {"read", "workflow: read\n"
             "input:\n  id: integer\n"
             "data:\n  message:\n    table: message\n    key: { id: input.id }\n"
             "start: count\n"
             "activities:\n"
             "  count:\n"
             "    enable-exclusive-lock: true\n"
             "    lock-context: '{\"message\", input.id}'\n"
             "    acquire-timeout: 500ms\n"
             "    waiting-timeout: 10s\n"
             "    script: |\n"
             "      data.message.read = data.message.read + 1\n"
             "      output.read = data.message.read\n"},
    /* Does what its input says. */
    {"odd", "workflow: odd\n"
            "input:\n  what: string\n"
            "data:\n  message:\n    table: message\n    key: { id: 1 }\n"
            "start: x\n"
            "activities:\n"
            "  x:\n"
            "    enable-exclusive-lock: true\n"
            "    lock-context: '\"odd\"'\n"
            "    waiting-timeout: 2s\n"
            "    guard: input.what ~= 'guard'\n"
            "    on-conflict: fail\n"
            "    script: |\n"
            "      data.message.title = input.what\n"
            "      if input.what == 'fail' then fail('that will not do') end\n"
            "      if input.what == 'raise' then error('oh') end\n"
            "      if input.what == 'refused' then sql('insert into message (id) values (1)') end\n"
            "      if input.what == 'column' then sql('select nope from message') end\n"
            "      if input.what == 'sleep' then sleep(30) end\n"
            "      if input.what == 'nap' then sleep(1.5) end\n"},
    /* Holds a lock for some seconds. */
    {"slow", "workflow: slow\n"
             "start: x\n"
             "activities:\n"
             "  x:\n"
             "    enable-exclusive-lock: true\n"
             "    lock-context: '\"slow\"'\n"
             "    script: sleep(8)\n"},
    /* Waits for an event, may stop before it ends. */
    {"wait", "workflow: wait\n"
             "start: begin\n"
             "triggers:\n  - event: ring\n"
             "input:\n  note?: string\n"
             "activities:\n"
             "  begin:\n"
             "    script: vars.begun = true\n"
             "    navigation:\n      - to: finish\n"
             "  finish:\n"
             "    wait-for: paid\n"
             "    script: |\n"
             "      if event.payload == 'stop' then fail('stopped') end\n"
             "      output.paid = event.payload\n"},
};

static void put(const struct http_scene *scene, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s.yaml", scene->directory, name);
    FILE *stream = fopen(path, "w");
    assert_non_null(stream);
    fputs(text, stream);
    assert_int_equal(fclose(stream), 0);
}

int http_scene_prepare(void **state)
{
    struct http_scene *scene = calloc(1, sizeof *scene);
    if (!scene || message_database_set_up((void **)&scene->database) != 0)
        return 1;
    snprintf(scene->directory, sizeof scene->directory, "/tmp/latchkey-test-XXXXXX");
    *state = scene;
    if (!mkdtemp(scene->directory))
        return 1;
    for (size_t i = 0; i < sizeof definitions / sizeof *definitions; i++)
        put(scene, definitions[i].name, definitions[i].text);
    return 0;
}

static const char *said(const struct http_scene *scene)
{
    static char text[SAID_BYTES_MAX];
    ssize_t length = pread(scene->host.err_fd, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

bool http_scene_has_said(const struct http_scene *scene, const char *part)
{
    return strstr(said(scene), part) != NULL;
}

void http_scene_wait_for(const struct http_scene *scene, const char *part, int times)
{
    for (int i = 0; i < HTTP_SCENE_PATIENCE_MS / 10; i++) {
        int n = 0;
        for (const char *at = said(scene); (at = strstr(at, part)); at++)
            n++;
        if (n >= times)
            return;
        usleep(10 * 1000);
    }
    print_error("%s", said(scene));
    fail_msg("\"%s\" was not said in time", part);
}

void http_scene_start(struct http_scene *scene, const char *const *arguments)
{
    const char *all[ARGUMENTS_MAX + 1] = {"serve", "--listen", "127.0.0.1:0", "--definitions",
                                          scene->directory};
    int n = 5;
    for (int i = 0; arguments && arguments[i]; i++) {
        assert_true(n < ARGUMENTS_MAX);
        all[n++] = arguments[i];
    }
    program_start(&scene->host, all);
    scene->runs = true;
    http_scene_wait_for(scene, "ready: process", 1);
    const char *at = strstr(said(scene), "listening on http://127.0.0.1:");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "listening on http://127.0.0.1:%d", &scene->port), 1);
}

void http_scene_stop(struct http_scene *scene, int exit_code)
{
    kill(scene->host.pid, SIGTERM);
    http_scene_end(scene, exit_code);
}

void http_scene_end(struct http_scene *scene, int exit_code)
{
    program_wait(&scene->host);
    scene->runs = false;
    program_expect(&scene->host, exit_code);
    program_done(&scene->host);
}

int http_scene_set_up(void **state)
{
    if (http_scene_prepare(state) != 0)
        return 1;
    http_scene_start(*state, NULL);
    return 0;
}

/* A second signal cuts short what is under way. Not killed, so that a sanitizer can complain. */
static int end_at_once(struct http_scene *scene)
{
    kill(scene->host.pid, SIGTERM);
    http_scene_wait_for(scene, "stopping", 1);
    kill(scene->host.pid, SIGTERM);
    program_wait(&scene->host);
    bool clean = scene->host.exit_code == 0 || scene->host.exit_code == 128 + SIGTERM;
    if (!clean)
        print_error("the host exited with %d\n%s", scene->host.exit_code, scene->host.err);
    program_done(&scene->host);
    return clean ? 0 : 1;
}

int http_scene_tear_down(void **state)
{
    struct http_scene *scene = *state;
    char command[128];
    int failed = scene->runs ? end_at_once(scene) : 0;
    snprintf(command, sizeof command, "rm -r %s", scene->directory);
    failed += system(command);
    message_database_tear_down((void **)&scene->database);
    free(scene);
    return failed;
}

json_t *http_scene_run(const struct http_scene *scene, const char *workflow, const char *input,
                       int status)
{
    char path[128], body[512];
    snprintf(path, sizeof path, "/v1/workflows/%s/instances", workflow);
    snprintf(body, sizeof body, "{\"input\":%s}", input);
    return http_expect(scene->port, "POST", path, HTTP_JSON, body, status);
}

void http_expect_text(const json_t *object, const char *name, const char *text)
{
    const char *value = json_string_value(json_object_get(object, name));
    if (!value) {
        print_error("there is no text '%s'\n", name);
        fail();
    }
    assert_string_equal(value, text);
}
