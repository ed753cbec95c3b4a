/*
 * What a designer asks while writing a lock context: the paths that an activity would take for some
 * sample inputs, who holds them now, and which of the samples would exclude each other.
 *
 *   READING (the definition) --> EVALUATING one sample a turn of the loop --> ASKING who holds -->
 * replied
 */
#include "clock.h"
#include "definition_read.h"
#include "http_handlers.h"
#include "http_server.h"
#include "lock_path.h"
#include "pg_array.h"
#include "runtime.h"
#include "server_sql.h"
#include "text.h"
#include "workflow_loader.h"

#include <event2/event.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

enum {
    SAMPLES_MAX = 32,
    PATHS_BYTES_MAX = 8 << 20,
};

struct evaluation {
    struct http_exchange *exchange;
    struct definition *own; /* of the request; NULL = published */
    const struct definition *definition;
    const struct activity *activity;
    const json_t *samples;
    size_t n_done;
    json_t *results;  /* one a sample */
    json_t *excludes; /* pairs */
    struct event *turn;
};

static void drop(struct http_exchange *exchange)
{
    struct evaluation *evaluation = exchange->work;
    if (evaluation->turn)
        event_free(evaluation->turn);
    definition_free(evaluation->own);
    json_decref(evaluation->results);
    json_decref(evaluation->excludes);
    free(evaluation);
}

/* ---- who holds ---- */

static void add_holders(json_t *result, const json_t *rows)
{
    size_t i, k;
    json_t *row, *path;
    json_t *holders = json_array();
    json_array_foreach(json_object_get(result, "paths"), k, path)
    {
        json_array_foreach(rows, i, row)
        {
            if (json_equal(json_object_get(row, "wanted"), path))
                json_array_append(holders, row);
        }
    }
    json_object_set_new(result, "held_by", holders);
}

static void on_holders(const struct pg_result *rows, const struct fault *fault, void *arg)
{
    struct http_exchange *exchange = arg;
    struct evaluation *evaluation = exchange->work;
    struct fault failed;
    json_t *list = NULL, *result;
    size_t i;
    const char *text = rows ? PQgetvalue(rows, 0, 0) : NULL;
    if (!rows || !exchange->request) {
        if (rows)
            http_exchange_free(exchange);
        else
            http_reply_fault(exchange, fault);
        return;
    }
    if (!json_read("the locks", text, strlen(text), &list, &failed)) {
        failed.kind = FAULT_EXHAUSTED;
        http_reply_fault(exchange, &failed);
        return;
    }
    json_array_foreach(evaluation->results, i, result) add_holders(result, list);
    json_decref(list);
    http_reply_json(exchange, 200,
                    json_pack("{s:s, s:s, s:b, s:O, s:O}", "workflow", evaluation->definition->name,
                              "activity", evaluation->activity->name, "exclusive_lock",
                              evaluation->activity->exclusive_lock, "samples", evaluation->results,
                              "exclusions", evaluation->excludes));
}

static void ask_holders(struct evaluation *evaluation)
{
    struct http_exchange *exchange = evaluation->exchange;
    struct text paths;
    struct fault fault;
    json_t *result, *path;
    size_t i, k;
    text_init(&paths, PATHS_BYTES_MAX);
    pg_array_begin(&paths);
    json_array_foreach(evaluation->results, i, result)
    {
        json_array_foreach(json_object_get(result, "paths"), k, path)
            pg_array_add(&paths, json_string_value(path));
    }
    pg_array_end(&paths);
    const char *params[] = {text_chars(&paths)};
    exchange->abandon = NULL;
    if (!text_ok(&paths, &fault) ||
        !runtime_inquire(http_server_runtime(exchange->server), SQL_LOCK_HOLDERS, 1, params,
                         on_holders, exchange, &fault))
        http_reply_fault(exchange, &fault);
    text_done(&paths);
}

/* ---- evaluating ---- */

/* "FILE:LINE: reason" */
static json_t *error_of(const struct evaluation *evaluation, const struct fault *fault)
{
    const char *file = evaluation->definition->file;
    const char *place = strstr(fault->text, file);
    int line = 0;
    json_t *error = json_pack("{s:s}", "detail", fault->text);
    if (place && sscanf(place + strlen(file), ":%d:", &line) == 1)
        json_object_set_new(error, "line", json_integer(line));
    return error;
}

static bool excludes(const json_t *a, const json_t *b)
{
    size_t i, k;
    json_t *one, *other;
    json_array_foreach(json_object_get(a, "paths"), i, one)
    {
        json_array_foreach(json_object_get(b, "paths"), k, other)
        {
            const char *first = json_string_value(one), *second = json_string_value(other);
            if (lock_path_text_covers(first, second) || lock_path_text_covers(second, first))
                return true;
        }
    }
    return false;
}

static void add_exclusions(struct evaluation *evaluation, const json_t *result)
{
    size_t i;
    json_t *earlier;
    json_array_foreach(evaluation->results, i, earlier)
    {
        if (earlier != result && excludes(earlier, result))
            json_array_append_new(evaluation->excludes,
                                  json_pack("[i, i]", (int)i, (int)evaluation->n_done));
    }
}

static json_t *evaluate_sample(struct evaluation *evaluation, const json_t *sample)
{
    const struct http_home *home = http_server_home(evaluation->exchange->server);
    const json_t *input = json_object_get(sample, "input");
    json_t *none = input ? NULL : json_object(), *paths = json_array(), *error = NULL;
    char **texts = NULL;
    int n_texts = 0;
    struct fault fault;
    int64_t began_us = clock_monotonic_us();
    bool ok = workflow_key(runtime_sandbox(home->runtime), evaluation->definition,
                           evaluation->activity, input ? input : none,
                           json_object_get(sample, "data"), home->schema, &texts, &n_texts, &fault);
    int64_t took_us = clock_monotonic_us() - began_us;
    if (!ok)
        error = error_of(evaluation, &fault);
    for (int i = 0; ok && i < n_texts; i++) {
        json_array_append_new(paths, json_string(texts[i]));
        free(texts[i]);
    }
    if (ok)
        free(texts);
    json_decref(none);
    return json_pack("{s:o, s:I, s:o}", "paths", paths, "evaluation_us", (json_int_t)took_us,
                     "error", error ? error : json_null());
}

/* Each may take as long as an expression may: others are served between them. */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct evaluation *evaluation = arg;
    const struct timeval now = {0};
    (void)fd;
    (void)what;
    if (!evaluation->exchange->request) {
        http_exchange_free(evaluation->exchange);
        return;
    }
    json_t *result =
        evaluate_sample(evaluation, json_array_get(evaluation->samples, evaluation->n_done));
    if (!result || json_array_append_new(evaluation->results, result) != 0) {
        http_reply_json(evaluation->exchange, 503, NULL);
        return;
    }
    add_exclusions(evaluation, result);
    evaluation->n_done++;
    if (evaluation->n_done < json_array_size(evaluation->samples))
        event_add(evaluation->turn, &now); /* not event_active: others are to have their turn */
    else
        ask_holders(evaluation);
}

static void begin(struct evaluation *evaluation, const struct definition *definition)
{
    struct http_exchange *exchange = evaluation->exchange;
    const char *name = json_string_value(json_object_get(exchange->body, "activity"));
    evaluation->definition = definition;
    evaluation->activity = definition_activity(definition, name);
    if (!evaluation->activity) {
        http_reply_bad(exchange, "/activity", "workflow '%s' has no activity '%.100s'",
                       definition->name, name);
        return;
    }
    exchange->abandon = http_exchange_free;
    event_active(evaluation->turn, EV_TIMEOUT, 0);
}

/* ---- reading ---- */

static void on_loaded(struct workflow *workflow, const struct fault *fault, void *arg)
{
    struct http_exchange *exchange = arg;
    if (!workflow)
        http_reply_fault(exchange, fault);
    else if (!exchange->request)
        http_exchange_free(exchange);
    else
        begin(exchange->work, workflow_definition(workflow));
}

static void read_own(struct evaluation *evaluation, const json_t *text)
{
    struct http_exchange *exchange = evaluation->exchange;
    struct sandbox *sandbox = runtime_sandbox(http_server_runtime(exchange->server));
    struct problems problems;
    problems_init(&problems);
    bool ok = definition_read(sandbox, "definition", json_string_value(text),
                              json_string_length(text), &evaluation->own, &problems);
    if (ok) {
        begin(evaluation, evaluation->own);
    } else {
        json_t *problem = http_problem_new(400, "invalid-definition", "the definition has errors");
        for (int i = 0; i < problems.n_items; i++)
            if (problems.items[i].severity == PROBLEM_ERROR)
                http_problem_add(problem, "/definition", problems.items[i].line,
                                 problems.items[i].column, problems.items[i].message);
        http_reply_problem(exchange, problem);
    }
    problems_done(&problems);
}

/* False: it has been replied to. */
static bool check_samples(struct http_exchange *exchange)
{
    size_t i;
    json_t *sample;
    const json_t *samples = json_object_get(exchange->body, "samples");
    char pointer[32];
    if (json_array_size(samples) < 1 || json_array_size(samples) > SAMPLES_MAX) {
        http_reply_bad(exchange, "/samples", "1 to %d samples are wanted", SAMPLES_MAX);
        return false;
    }
    json_array_foreach(samples, i, sample)
    {
        const json_t *input = json_object_get(sample, "input");
        const json_t *data = json_object_get(sample, "data");
        size_t n_known = (input != NULL) + (data != NULL);
        if (json_is_object(sample) && json_object_size(sample) == n_known &&
            (!input || json_is_object(input)) && (!data || json_is_object(data)))
            continue;
        snprintf(pointer, sizeof pointer, "/samples/%zu", i);
        http_reply_bad(exchange, pointer,
                       "a sample is {\"input\": {}, \"data\": {}}, both optional");
        return false;
    }
    return true;
}

void http_evaluate(struct http_exchange *exchange)
{
    static const struct http_field fields[] = {
        {"definition", JSON_STRING, false}, {"workflow", JSON_STRING, false},
        {"version", JSON_INTEGER, false},   {"activity", JSON_STRING, true},
        {"samples", JSON_ARRAY, true},      {0},
    };
    struct workflow_load *load;
    struct fault fault;
    if (!http_body(exchange, fields) || !check_samples(exchange))
        return;
    const json_t *text = json_object_get(exchange->body, "definition");
    const char *name = json_string_value(json_object_get(exchange->body, "workflow"));
    int64_t version = json_integer_value(json_object_get(exchange->body, "version"));
    if ((text != NULL) == (name != NULL)) {
        http_reply_bad(exchange, "", "either definition or workflow is wanted");
        return;
    }
    if (version < 0 || version > 1000000000) {
        http_reply_bad(exchange, "/version", "this is no version");
        return;
    }
    struct evaluation *evaluation = calloc(1, sizeof *evaluation);
    if (!evaluation) {
        http_reply_json(exchange, 503, NULL);
        return;
    }
    exchange->work = evaluation;
    exchange->drop = drop;
    evaluation->exchange = exchange;
    evaluation->samples = json_object_get(exchange->body, "samples");
    evaluation->results = json_array();
    evaluation->excludes = json_array();
    evaluation->turn =
        event_new(http_server_home(exchange->server)->base, -1, 0, on_turn, evaluation);
    if (!evaluation->results || !evaluation->excludes || !evaluation->turn)
        http_reply_json(exchange, 503, NULL);
    else if (text)
        read_own(evaluation, text);
    else if (!workflow_loader_get(http_server_runtime(exchange->server), name, (int)version,
                                  on_loaded, exchange, &load, &fault))
        http_reply_fault(exchange, &fault);
}
