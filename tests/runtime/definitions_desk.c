#include "definitions_desk.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    PATH_BYTES = 512,
    TURN_MS = 5,
    TURNS_MAX = 12000,
    IDS_MAX = 8,
};

/* ---- directory ---- */

void directory_make(char path[DIRECTORY_BYTES])
{
    snprintf(path, DIRECTORY_BYTES, "/tmp/latchkey-test-XXXXXX");
    assert_non_null(mkdtemp(path));
}

void directory_delete(const char *path, const char *file)
{
    char name[PATH_BYTES];
    snprintf(name, sizeof name, "%s/%s", path, file);
    assert_int_equal(remove(name), 0);
}

void directory_remove(const char *path)
{
    DIR *stream = opendir(path);
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream));)
        if (entry->d_name[0] != '.')
            directory_delete(path, entry->d_name);
    closedir(stream);
    assert_int_equal(rmdir(path), 0);
}

void directory_write(const char *path, const char *file, const char *text)
{
    char name[PATH_BYTES], draft[PATH_BYTES];
    snprintf(name, sizeof name, "%s/%s", path, file);
    snprintf(draft, sizeof draft, "%s/draft", path);
    FILE *stream = fopen(draft, "w");
    assert_non_null(stream);
    fputs(text, stream);
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(rename(draft, name), 0);
}

const char *definition_text(const char *name, int answer)
{
    static char text[PATH_BYTES];
    snprintf(text, sizeof text,
             "workflow: %s\nstart: only\nactivities:\n  only:\n    script: output.answer = %d\n",
             name, answer);
    return text;
}

void directory_put(const char *path, const char *file, const char *name, int answer)
{
    directory_write(path, file, definition_text(name, answer));
}

/* ---- requests ---- */

static void on_report(const json_t *report, const struct fault *fault, void *arg)
{
    struct asked *asked = arg;
    assert_false(asked->told);
    asked->told = true;
    asked->report = report ? json_deep_copy(report) : NULL;
    if (fault)
        asked->fault = *fault;
}

void ask_reload(struct host *host, const char *path, struct asked *asked)
{
    *asked = (struct asked){0};
    if (!runtime_reload(host_runtime(host), path, "test", on_report, asked, &asked->fault))
        fail_msg("%s", asked->fault.text);
    assert_false(asked->told);
}

void ask_refresh(struct host *host, struct asked *asked, ...)
{
    const char *ids[IDS_MAX];
    int n = 0;
    va_list args;
    *asked = (struct asked){0};
    va_start(args, asked);
    for (const char *id; n < IDS_MAX && (id = va_arg(args, const char *));)
        ids[n++] = id;
    va_end(args);
    if (!runtime_refresh(host_runtime(host), ids, n, on_report, asked, &asked->fault))
        fail_msg("%s", asked->fault.text);
    assert_false(asked->told);
}

void asked_wait(struct runtime_fixture *fixture, struct asked *asked)
{
    for (int i = 0; i < TURNS_MAX && !asked->told; i++)
        runtime_fixture_turn(fixture, TURN_MS);
    assert_true(asked->told);
}

void asked_done(struct asked *asked)
{
    json_decref(asked->report);
    asked->report = NULL;
}

void asked_expect(struct runtime_fixture *fixture, struct asked *asked, const char *key,
                  const char *json)
{
    asked_wait(fixture, asked);
    if (!asked->report)
        fail_msg("%s", asked->fault.text);
    json_t *expected = json_loads(json, JSON_DECODE_ANY, NULL);
    assert_non_null(expected);
    const json_t *found = json_object_get(asked->report, key);
    if (!json_equal(found, expected)) {
        char *text = json_dumps(asked->report, 0);
        print_error("\"%s\" is not %s: %s\n", key, json, text);
        free(text);
        fail();
    }
    json_decref(expected);
}

void reload_expect(struct runtime_fixture *fixture, struct host *host, const char *path,
                   const char *key, const char *json)
{
    struct asked asked;
    ask_reload(host, path, &asked);
    asked_expect(fixture, &asked, key, json);
    asked_done(&asked);
}

/* ---- notices ---- */

int count_notices(PGconn *listening, const char *payload)
{
    PGnotify *notice;
    int n = 0;
    fixture_exec(listening, "SELECT 1"); /* what was sent before it comes before its answer */
    while ((notice = PQnotifies(listening))) {
        assert_string_equal(notice->relname, "latchkey_definitions");
        n += !payload || strcmp(notice->extra, payload) == 0;
        PQfreemem(notice);
    }
    return n;
}
