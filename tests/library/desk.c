#include "desk.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    PATIENCE_TURNS = 60 * 1000,
};

const char *const counting = "workflow: counting\n"
                             "input: {id: integer}\n"
                             "data:\n"
                             "  row: {table: counter, key: {id: input.id}}\n"
                             "start: add\n"
                             "activities:\n"
                             "  add:\n"
                             "    enable-exclusive-lock: true\n"
                             "    lock-context: '{\"counter\", input.id}'\n"
                             "    script: |\n"
                             "      data.row.n = data.row.n + 1\n"
                             "      output.n = data.row.n\n";

/* ---- the database and the loop ---- */

int desk_open(void **state)
{
    struct desk *desk = calloc(1, sizeof *desk);
    if (!desk || !fixture_database_new(desk->conninfo)) {
        free(desk);
        return -1;
    }
    *state = desk;
    desk->sql = fixture_connect(desk->conninfo);
    desk->base = event_base_new();
    return desk->base ? 0 : -1;
}

int desk_close(void **state)
{
    struct desk *desk = *state;
    PQfinish(desk->sql);
    fixture_database_drop(desk->conninfo);
    event_base_free(desk->base);
    free(desk);
    return 0;
}

int desk_clear(void **state)
{
    struct desk *desk = *state;
    fixture_exec(desk->sql, "DROP SCHEMA IF EXISTS latchkey CASCADE;"
                            "DROP SCHEMA IF EXISTS other CASCADE;"
                            "DROP TABLE IF EXISTS counter;"
                            "CREATE TABLE counter (id integer PRIMARY KEY, n bigint NOT NULL, "
                            "word text);"
                            "INSERT INTO counter SELECT i, 0 FROM generate_series(1, 10) AS i;");
    return 0;
}

void desk_turn(struct desk *desk, int ms)
{
    struct timeval pause = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    event_base_loopexit(desk->base, &pause);
    event_base_dispatch(desk->base);
}

void desk_wait(struct desk *desk, const bool *told)
{
    for (int i = 0; !*told; i++) {
        if (i == PATIENCE_TURNS)
            fail_msg("nothing was told");
        desk_turn(desk, 1);
    }
}

/* ---- hosts ---- */

struct latchkey *desk_host(struct desk *desk)
{
    struct latchkey *host = NULL;
    const char *options[] = {"database", desk->conninfo, "pool", "4", NULL};
    OK(latchkey_new(desk->base, options, &host, &why));
    return host;
}

struct latchkey *desk_start(struct desk *desk)
{
    struct latchkey *host = desk_host(desk);
    struct word word = {0};
    OK(latchkey_start(host, on_started, &word, &why));
    desk_wait(desk, &word.told);
    if (word.failed)
        fail_msg("%s", word.fault.text);
    return host;
}

void desk_publish(struct desk *desk, struct latchkey *host, const char *yaml)
{
    struct word word = {0};
    OK(latchkey_publish(host, "test.yaml", yaml, -1, on_published, &word, &why));
    desk_wait(desk, &word.told);
    if (word.failed)
        fail_msg("%s", word.fault.text);
}

struct answer desk_run(struct desk *desk, struct latchkey *host, const char *workflow,
                       const char *input)
{
    struct answer answer = {0};
    OK(latchkey_submit(host, workflow, input, /* key= */ NULL, on_answer, &answer, &why));
    desk_wait(desk, &answer.told);
    return answer;
}

/* ---- callbacks ---- */

#define COPY(to, from) snprintf(to, sizeof(to), "%s", from)

void on_answer(const struct latchkey_result *result, void *arg)
{
    struct answer *answer = arg;
    assert_false(answer->told);
    answer->told = true;
    answer->status = result->status;
    answer->version = result->version;
    answer->n_paths = result->n_paths;
    answer->replayed = result->replayed;
    COPY(answer->id, result->id);
    COPY(answer->workflow, result->workflow);
    COPY(answer->activity, result->activity);
    COPY(answer->output, result->output);
    COPY(answer->reason, result->reason);
    COPY(answer->path, result->n_paths ? result->paths[0] : "");
    char *json = latchkey_result_json(result);
    COPY(answer->json, json);
    free(json);
}

static void note(struct word *word, const struct latchkey_fault *fault)
{
    assert_false(word->told);
    word->told = true;
    word->failed = fault != NULL;
    if (fault)
        word->fault = *fault;
}

void on_published(const char *workflow, int version, bool changed,
                  const struct latchkey_fault *fault, void *arg)
{
    struct word *word = arg;
    assert_true(!workflow == (fault != NULL));
    note(word, fault);
    word->version = version;
    word->changed = changed;
    if (workflow)
        COPY(word->workflow, workflow);
}

void on_report(const char *report, const struct latchkey_fault *fault, void *arg)
{
    struct word *word = arg;
    note(word, fault);
    if (report)
        COPY(word->report, report);
}

void on_started(struct latchkey *host, const struct latchkey_fault *fault, void *arg)
{
    assert_non_null(host);
    note(arg, fault);
}
