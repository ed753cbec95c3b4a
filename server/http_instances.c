/* Instances: starting, listing, sending events, resuming. */
#include "http_handlers.h"
#include "http_server.h"
#include "runtime.h"
#include "server_sql.h"
#include "workflow_loader.h"

#include <libpq-fe.h>
#include <string.h>
#include <strings.h>

static void on_done(const struct result *result, void *arg)
{
    http_reply_result(arg, result);
}

static struct runtime *runtime_of(const struct http_exchange *exchange)
{
    return http_server_runtime(exchange->server);
}

/* ---- starting ---- */

static bool prefers_async(const struct http_exchange *exchange)
{
    const char *prefer = http_header(exchange, "Prefer");
    return prefer && strcasestr(prefer, "respond-async") != NULL;
}

static void on_queued(const struct result *result, void *arg)
{
    struct http_exchange *exchange = arg;
    char location[64];
    snprintf(location, sizeof location, "/v1/instances/%s", result->id);
    if (result->status == STATUS_QUEUED)
        http_add_header(exchange, "Location", location);
    http_add_header(exchange, "Preference-Applied", "respond-async");
    http_reply_result(exchange, result);
}

static void reply_unknown_workflow(struct http_exchange *exchange, const struct fault *fault)
{
    struct result result = {.workflow = exchange->params[0],
                            .activity = "",
                            .status = execution_status_of_fault(fault->kind),
                            .reason = fault->text};
    http_reply_result(exchange, &result);
}

static void submit(struct http_exchange *exchange, struct workflow *workflow)
{
    struct fault fault;
    struct runtime *runtime = runtime_of(exchange);
    const json_t *input = json_object_get(exchange->body, "input");
    json_t *none = input ? NULL : json_object();
    bool async = prefers_async(exchange);
    struct submission submission = {
        .workflow = workflow,
        .input = input ? input : none,
        .key = http_header(exchange, "Idempotency-Key"),
        .caller = &exchange->caller,
        .done = async ? on_queued : on_done,
        .arg = exchange,
    };
    bool ok = (input || none) ? true : fault_no_memory(&fault);
    if (ok && async)
        ok = runtime_enqueue(runtime, &submission, /* priority= */ 0, &fault);
    else if (ok)
        ok = runtime_submit(runtime, &submission, &fault);
    json_decref(none);
    if (!ok)
        http_reply_fault(exchange, &fault);
}

static void on_loaded(struct workflow *workflow, const struct fault *fault, void *arg)
{
    struct http_exchange *exchange = arg;
    if (!workflow)
        reply_unknown_workflow(exchange, fault);
    else if (!exchange->request)
        http_exchange_free(exchange); /* the host stops, or the client went before it began */
    else
        submit(exchange, workflow);
}

void http_instances_start(struct http_exchange *exchange)
{
    static const struct http_field fields[] = {{"input", JSON_OBJECT, false}, {0}};
    struct workflow_load *load;
    struct fault fault;
    const char *key = http_header(exchange, "Idempotency-Key");
    if (!http_body(exchange, fields))
        return;
    if (key && !*key)
        http_reply_error(exchange, 400, "Idempotency-Key is empty");
    else if (!workflow_loader_get(runtime_of(exchange), exchange->params[0], 0, on_loaded, exchange,
                                  &load, &fault))
        http_reply_fault(exchange, &fault);
}

/* ---- going on ---- */

static void deliver(struct http_exchange *exchange, const char *event)
{
    struct fault fault;
    struct delivery delivery = {
        .instance = exchange->params[0],
        .event = event,
        .payload = json_object_get(exchange->body, "payload"),
        .caller = &exchange->caller,
        .done = on_done,
        .arg = exchange,
    };
    if (!runtime_deliver(runtime_of(exchange), &delivery, &fault))
        http_reply_fault(exchange, &fault);
}

void http_instances_deliver(struct http_exchange *exchange)
{
    static const struct http_field fields[] = {{"payload", JSON_NULL, false}, {0}};
    if (http_body(exchange, fields))
        deliver(exchange, exchange->params[1]);
}

void http_instances_resume(struct http_exchange *exchange)
{
    static const struct http_field fields[] = {{0}};
    if (http_body(exchange, fields))
        deliver(exchange, /* event= */ NULL);
}

/* ---- looking ---- */

static bool is_flag(const char *text)
{
    return !text || strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
}

static bool is_status(const char *text)
{
    static const char *const statuses[] = {"running", "idle", "failed", "blocked", "completed"};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (!text || strcmp(text, statuses[i]) == 0)
            return true;
    return false;
}

void http_instances_list(struct http_exchange *exchange)
{
    char limit[24];
    const char *status = http_query(exchange, "status"), *all = http_query(exchange, "all");
    if (!http_query_limit(exchange) || !http_query_is_id(exchange, "after"))
        return;
    if (!is_status(status)) {
        http_reply_error(
            exchange, 400,
            "the parameter 'status' wants running, idle, failed, blocked or completed");
        return;
    }
    if (!is_flag(all)) {
        http_reply_error(exchange, 400, "the parameter 'all' wants true or false");
        return;
    }
    bool completed =
        (all && strcmp(all, "true") == 0) || (status && strcmp(status, "completed") == 0);
    snprintf(limit, sizeof limit, "%lld", (long long)exchange->limit);
    const char *params[] = {http_query(exchange, "workflow"), status, completed ? "true" : "false",
                            http_query(exchange, "after"), limit};
    http_reply_list(exchange, "instances", SQL_INSTANCE_LIST, 5, params);
}

static void on_shown(const struct pg_result *rows, const struct fault *fault, void *arg)
{
    struct http_exchange *exchange = arg;
    if (!rows)
        http_reply_fault(exchange, fault);
    else if (PQntuples(rows) == 0)
        http_reply_error(exchange, 404, "no such instance");
    else
        http_reply(exchange, 200, "application/json", PQgetvalue(rows, 0, 0),
                   (size_t)PQgetlength(rows, 0, 0));
}

void http_instances_show(struct http_exchange *exchange)
{
    const char *params[] = {exchange->params[0]};
    struct fault fault;
    if (http_param_is_id(exchange, 0) && !runtime_inquire(runtime_of(exchange), SQL_INSTANCE_SHOW,
                                                          1, params, on_shown, exchange, &fault))
        http_reply_fault(exchange, &fault);
}

static void on_history(const struct pg_result *rows, const struct fault *fault, void *arg)
{
    struct http_exchange *exchange = arg;
    struct fault failed;
    json_t *list = NULL;
    const char *text = rows ? PQgetvalue(rows, 0, 0) : NULL;
    if (!rows) {
        http_reply_fault(exchange, fault);
    } else if (strcmp(text, "[]") == 0 && *PQgetvalue(rows, 0, 1) != 't') {
        http_reply_error(exchange, 404, "no such instance");
    } else if (!json_read("the history", text, strlen(text), &list, &failed)) {
        failed.kind = FAULT_EXHAUSTED;
        http_reply_fault(exchange, &failed);
    } else {
        http_reply_json(exchange, 200, json_pack("{s:o}", "executions", list));
    }
}

void http_instances_history(struct http_exchange *exchange)
{
    const char *params[] = {exchange->params[0]};
    struct fault fault;
    if (http_param_is_id(exchange, 0) && !runtime_inquire(runtime_of(exchange), SQL_HISTORY_LIST, 1,
                                                          params, on_history, exchange, &fault))
        http_reply_fault(exchange, &fault);
}

void http_jobs_list(struct http_exchange *exchange)
{
    char limit[24];
    const char *dead = http_query(exchange, "dead");
    if (!http_query_limit(exchange) || !http_query_is_id(exchange, "after"))
        return;
    if (!is_flag(dead)) {
        http_reply_error(exchange, 400, "the parameter 'dead' wants true or false");
        return;
    }
    snprintf(limit, sizeof limit, "%lld", (long long)exchange->limit);
    const char *params[] = {dead ? dead : "false", http_query(exchange, "after"), limit};
    http_reply_list(exchange, "jobs", SQL_JOB_LIST, 3, params);
}
