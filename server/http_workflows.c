/* Definitions: listing, reading and publishing them. */
#include "definition_read.h"
#include "http_handlers.h"
#include "http_server.h"
#include "runtime.h"
#include "server_sql.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

enum {
    TAG_BYTES = 24,
};

void http_workflows_list(struct http_exchange *exchange)
{
    http_reply_list(exchange, "workflows", SQL_WORKFLOW_LIST, 0, NULL);
}

static void write_tag(char out[TAG_BYTES], int version)
{
    snprintf(out, TAG_BYTES, "\"%d\"", version);
}

/* Whether a list of entity tags names one; "*" names all. */
static bool names_tag(const char *list, const char *tag)
{
    return strcmp(list, "*") == 0 || strstr(list, tag) != NULL;
}

static bool is_json(const char *source)
{
    return source[strspn(source, " \t\r\n")] == '{';
}

static void on_read(const struct pg_result *rows, const struct fault *fault, void *arg)
{
    struct http_exchange *exchange = arg;
    const char *known = http_header(exchange, "If-None-Match");
    char tag[TAG_BYTES];
    if (!rows) {
        http_reply_fault(exchange, fault);
        return;
    }
    if (PQntuples(rows) == 0) {
        http_reply_error(exchange, 404, "there is no such workflow, or not that version");
        return;
    }
    const char *source = PQgetvalue(rows, 0, 1);
    write_tag(tag, atoi(PQgetvalue(rows, 0, 0)));
    http_add_header(exchange, "ETag", tag);
    if (known && names_tag(known, tag))
        http_reply(exchange, 304, "application/yaml", "", 0);
    else
        http_reply(exchange, 200, is_json(source) ? "application/json" : "application/yaml", source,
                   (size_t)PQgetlength(rows, 0, 1));
}

/* A version's number; "0" = none was given. */
static bool read_version(const char *text, int *out)
{
    char *end = NULL;
    long value = text ? strtol(text, &end, 10) : 0;
    *out = (int)value;
    return !text || (*text >= '0' && *text <= '9' && !*end && value >= 1 && value <= 1000000000);
}

void http_workflows_show(struct http_exchange *exchange)
{
    struct fault fault;
    int version;
    char number[16];
    const char *params[] = {exchange->params[0], number};
    if (!read_version(http_query(exchange, "version"), &version)) {
        http_reply_error(exchange, 400, "the parameter 'version' wants a version's number");
        return;
    }
    snprintf(number, sizeof number, "%d", version);
    if (!runtime_inquire(http_server_runtime(exchange->server), SQL_WORKFLOW_SHOW, 2, params,
                         on_read, exchange, &fault))
        http_reply_fault(exchange, &fault);
}

/* ---- publishing ---- */

/* The version that the change was made from: 0 = there is none yet, -1 = any. */
static bool read_base(struct http_exchange *exchange, int *base)
{
    const char *match = http_header(exchange, "If-Match");
    const char *none = http_header(exchange, "If-None-Match");
    char text[TAG_BYTES] = "";
    *base = none ? 0 : -1;
    if (!match && !none) {
        http_reply_error(
            exchange, 428,
            "If-Match with the ETag that was read is wanted, or If-None-Match: * for a "
            "workflow that is new");
        return false;
    }
    if (match && none)
        http_reply_error(exchange, 400, "If-Match and If-None-Match do not go together");
    else if (none && strcmp(none, "*") != 0)
        http_reply_error(exchange, 400, "If-None-Match wants * here");
    else if (none || strcmp(match, "*") == 0)
        return true;
    else if (sscanf(match, "\"%15[0-9]\"", text) == 1 && strlen(match) == strlen(text) + 2 &&
             read_version(text, base))
        return true;
    else
        http_reply_error(exchange, 412, "If-Match has no ETag of this workflow");
    return false;
}

static json_t *warnings_of(const struct problems *problems)
{
    json_t *holder = json_object();
    for (int i = 0; i < problems->n_items; i++)
        http_problem_add(holder, "", problems->items[i].line, problems->items[i].column,
                         problems->items[i].message);
    json_t *list = json_incref(json_object_get(holder, "errors"));
    json_decref(holder);
    return list ? list : json_array();
}

static void reply_problems(struct http_exchange *exchange, const struct problems *problems)
{
    json_t *problem = http_problem_new(400, "invalid-definition", "the definition has errors");
    for (int i = 0; i < problems->n_items; i++)
        if (problems->items[i].severity == PROBLEM_ERROR)
            http_problem_add(problem, "", problems->items[i].line, problems->items[i].column,
                             problems->items[i].message);
    http_reply_problem(exchange, problem);
}

static void drop_warnings(struct http_exchange *exchange)
{
    json_decref(exchange->work);
}

static void on_published(struct workflow *workflow, bool published, const struct fault *fault,
                         void *arg)
{
    struct http_exchange *exchange = arg;
    char tag[TAG_BYTES];
    if (!workflow) {
        /* another base, not a lock that somebody holds */
        bool stale = fault->kind == FAULT_CONFLICT && strcmp(fault->sqlstate, "55P03") != 0;
        if (stale)
            http_reply_error(exchange, 412, "%s", fault->text);
        else
            http_reply_fault(exchange, fault);
        return;
    }
    int version = workflow_version(workflow);
    write_tag(tag, version);
    http_add_header(exchange, "ETag", tag);
    http_reply_json(exchange, published && version == 1 ? 201 : 200,
                    json_pack("{s:s, s:i, s:b, s:O}", "workflow", exchange->params[0], "version",
                              version, "published", published, "warnings",
                              (json_t *)exchange->work));
}

static void publish(struct http_exchange *exchange, struct definition *definition, int base)
{
    const struct http_home *home = http_server_home(exchange->server);
    const char *by = *exchange->who ? exchange->who : home->publisher;
    struct fault fault;
    if (strcmp(definition->name, exchange->params[0]) != 0) {
        http_reply_bad(exchange, "", "the definition's workflow is '%s', the path's is '%.100s'",
                       definition->name, exchange->params[0]);
        definition_free(definition);
    } else if (!runtime_publish_start(home->runtime, definition, base, by, on_published, exchange,
                                      &fault)) {
        definition_free(definition);
        http_reply_fault(exchange, &fault);
    }
}

void http_workflows_put(struct http_exchange *exchange)
{
    struct definition *definition = NULL;
    struct problems problems;
    size_t n_bytes;
    int base;
    if (!read_base(exchange, &base))
        return;
    const char *bytes = http_body_bytes(exchange, &n_bytes);
    struct sandbox *sandbox = runtime_sandbox(http_server_runtime(exchange->server));
    problems_init(&problems);
    bool ok = definition_read(sandbox, exchange->params[0], bytes, n_bytes, &definition, &problems);
    if (ok) {
        exchange->work = warnings_of(&problems);
        exchange->drop = drop_warnings;
        publish(exchange, definition, base);
    } else {
        reply_problems(exchange, &problems);
    }
    problems_done(&problems);
}
