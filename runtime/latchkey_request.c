/*
 * What a program asks of a host. Each request is held until the host is up, and one that names a
 * workflow until the publishings asked for before it are over:
 *
 *   HELD --turn--> begun --> [the workflow is found -->] the runtime's request --> told
 */
#include "definition_file.h"
#include "latchkey_result.h"
#include "latchkey_state.h"
#include "workflow_loader.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum request_kind {
    REQUEST_PUBLISH,
    REQUEST_FIND,
    REQUEST_RELOAD,
    REQUEST_REFRESH,
    REQUEST_SUBMIT,
    REQUEST_ENQUEUE,
    REQUEST_DELIVER,
    REQUEST_EMIT,
};

struct latchkey_request {
    struct latchkey *host;
    enum request_kind kind;
    char
        *name; /* of the workflow, the instance, the event or the directory; NULL = all workflows */
    char *key, *event;
    json_t *value; /* input or payload; NULL = none */
    struct definition *definition;
    int base, priority;
    bool is_apart; /* counted in n_apart */
    union {
        latchkey_published_fn *published;
        latchkey_report_fn *report;
        latchkey_result_fn *result;
    } done;
    void *arg;
    TAILQ_ENTRY(latchkey_request) link;
};

/* ---- life ---- */

static void request_free(struct latchkey_request *request)
{
    if (!request)
        return;
    free(request->name);
    free(request->key);
    free(request->event);
    json_decref(request->value);
    definition_free(request->definition);
    free(request);
}

static bool copy(const char *text, char **out, struct fault *fault)
{
    *out = text ? strdup(text) : NULL;
    return !text || *out || fault_no_memory(fault);
}

/* name NULL = none. */
static bool request_new(struct latchkey *host, enum request_kind kind, const char *name, void *arg,
                        struct latchkey_request **out, struct fault *fault)
{
    if (host->state >= LATCHKEY_STATE_STOPPING)
        return fault_set(fault, FAULT_CANCELLED, "the host is stopping");
    struct latchkey_request *request = calloc(1, sizeof *request);
    if (!request)
        return fault_no_memory(fault);
    request->host = host;
    request->kind = kind;
    request->arg = arg;
    if (!copy(name, &request->name, fault)) {
        request_free(request);
        return false;
    }
    *out = request;
    return true;
}

static bool hold(struct latchkey_request *request)
{
    struct latchkey *host = request->host;
    TAILQ_INSERT_TAIL(&host->held, request, link);
    host->n_held++;
    if (host->state == LATCHKEY_STATE_UP)
        event_active(host->turn, EV_TIMEOUT, 0);
    return true;
}

static bool refuse(struct latchkey_request *request, const struct fault *failed,
                   struct latchkey_fault *fault)
{
    request_free(request);
    return latchkey_fault_tell(failed, fault);
}

/* It is the runtime's execution from here on, which counts it. */
static void leave_apart(struct latchkey_request *request)
{
    request->host->n_apart -= request->is_apart;
    request->is_apart = false;
}

/* Out of the line before it is told: done may ask for more. */
static void take_out(struct latchkey_request *request)
{
    TAILQ_REMOVE(&request->host->begun, request, link);
    leave_apart(request);
}

/* ---- telling ---- */

static void tell_published(struct latchkey_request *request, const struct workflow *workflow,
                           bool changed, const struct fault *fault)
{
    struct latchkey_fault room;
    struct latchkey *host = request->host;
    take_out(request);
    if (request->kind == REQUEST_PUBLISH && --host->n_publishing == 0 && host->n_held)
        event_active(host->turn, EV_TIMEOUT, 0);
    if (request->done.published)
        request->done.published(workflow ? workflow_definition(workflow)->name : NULL,
                                workflow ? workflow_version(workflow) : 0, changed,
                                workflow ? NULL : latchkey_fault_lend(fault, &room), request->arg);
    request_free(request);
}

static void tell_report(struct latchkey_request *request, const json_t *report,
                        const struct fault *fault)
{
    struct latchkey_fault room;
    struct fault no_memory;
    char *text = report ? json_write(report) : NULL;
    take_out(request);
    if (report && !text) {
        fault_no_memory(&no_memory);
        fault = &no_memory;
    }
    if (request->done.report)
        request->done.report(text, text ? NULL : latchkey_fault_lend(fault, &room), request->arg);
    free(text);
    request_free(request);
}

static void tell_result(struct latchkey_request *request, const struct result *result)
{
    take_out(request);
    latchkey_result_tell(result, request->done.result, request->arg);
    request_free(request);
}

/* It never came to an execution. */
static void tell_refused(struct latchkey_request *request, const struct fault *fault)
{
    bool names_workflow = request->kind != REQUEST_DELIVER;
    const struct result result = {.workflow = names_workflow ? request->name : "",
                                  .activity = "",
                                  .reason = fault->text,
                                  .status = execution_status_of_fault(fault->kind)};
    tell_result(request, &result);
}

static void tell_failed(struct latchkey_request *request, const struct fault *fault)
{
    switch (request->kind) {
    case REQUEST_PUBLISH:
    case REQUEST_FIND: tell_published(request, NULL, false, fault); break;
    case REQUEST_RELOAD:
    case REQUEST_REFRESH:
    case REQUEST_EMIT: tell_report(request, NULL, fault); break;
    case REQUEST_SUBMIT:
    case REQUEST_ENQUEUE:
    case REQUEST_DELIVER: tell_refused(request, fault); break;
    }
}

/* ---- the runtime's callbacks ---- */

static void on_published(struct workflow *workflow, bool published, const struct fault *fault,
                         void *arg)
{
    tell_published(arg, workflow, published, fault);
}

static void on_report(const json_t *report, const struct fault *fault, void *arg)
{
    tell_report(arg, report, fault);
}

static void on_result(const struct result *result, void *arg)
{
    tell_result(arg, result);
}

static void on_found(struct workflow *workflow, const struct fault *fault, void *arg)
{
    struct latchkey_request *request = arg;
    struct runtime *runtime = request->host->runtime;
    struct submission submission = {.workflow = workflow,
                                    .input = request->value,
                                    .key = request->key,
                                    .done = on_result,
                                    .arg = request};
    struct fault failed;
    if (!workflow || request->kind == REQUEST_FIND) {
        if (workflow)
            tell_published(request, workflow, false, NULL);
        else
            tell_failed(request, fault);
        return;
    }
    bool ok = request->kind == REQUEST_ENQUEUE
                  ? runtime_enqueue(runtime, &submission, request->priority, &failed)
                  : runtime_submit(runtime, &submission, &failed);
    if (ok)
        leave_apart(request);
    else
        tell_failed(request, &failed);
}

/* ---- beginning ---- */

static bool publish(struct latchkey_request *request, struct fault *fault)
{
    struct latchkey *host = request->host;
    host->n_publishing++; /* until it is told, also that it failed */
    if (!runtime_publish_start(host->runtime, request->definition, request->base,
                               host->published_by, on_published, request, fault))
        return false;
    request->definition = NULL;
    return true;
}

static bool find(struct latchkey_request *request, struct fault *fault)
{
    struct workflow_load *load; /* ends with the runtime at the latest */
    return workflow_loader_get(request->host->runtime, request->name, /* version= */ 0, on_found,
                               request, &load, fault);
}

static bool refresh(struct latchkey_request *request, struct fault *fault)
{
    const char *ids[] = {request->name};
    return runtime_refresh(request->host->runtime, ids, request->name ? 1 : 0, on_report, request,
                           fault);
}

static bool deliver(struct latchkey_request *request, struct fault *fault)
{
    const struct delivery delivery = {.instance = request->name,
                                      .event = request->event,
                                      .payload = request->value,
                                      .done = on_result,
                                      .arg = request};
    if (!runtime_deliver(request->host->runtime, &delivery, fault))
        return false;
    leave_apart(request);
    return true;
}

static void on_emitted(const json_t *started, const struct fault *fault, void *arg)
{
    struct fault failed;
    json_t *report = started ? json_pack("{s:O}", "started", started) : NULL;
    if (started && !report)
        (void)fault_no_memory(&failed);
    tell_report(arg, report, started ? &failed : fault);
    json_decref(report);
}

static bool emit(struct latchkey_request *request, struct fault *fault)
{
    if (!runtime_emit(request->host->runtime, request->name, request->value, on_emitted, request,
                      fault))
        return false;
    leave_apart(request);
    return true;
}

static bool begin(struct latchkey_request *request, struct fault *fault)
{
    struct latchkey *host = request->host;
    switch (request->kind) {
    case REQUEST_PUBLISH: return publish(request, fault);
    case REQUEST_RELOAD:
        return runtime_reload(host->runtime, request->name, host->published_by, on_report, request,
                              fault);
    case REQUEST_REFRESH: return refresh(request, fault);
    case REQUEST_FIND:
    case REQUEST_SUBMIT:
    case REQUEST_ENQUEUE: return find(request, fault);
    case REQUEST_DELIVER: return deliver(request, fault);
    case REQUEST_EMIT: return emit(request, fault);
    }
    return false;
}

/* Which workflows an event starts depends on what is published too. */
static bool names_workflow(const struct latchkey_request *request)
{
    return request->kind == REQUEST_FIND || request->kind == REQUEST_SUBMIT ||
           request->kind == REQUEST_ENQUEUE || request->kind == REQUEST_EMIT;
}

/* Whether it goes on now: begins, or is told *fault, FAULT_NONE before. */
static bool may_go(const struct latchkey_request *request, struct fault *fault)
{
    const struct latchkey *host = request->host;
    switch (host->state) {
    case LATCHKEY_STATE_NEW:
        *fault = host->tells_start ? host->start_fault : (struct fault){0};
        return host->tells_start;
    case LATCHKEY_STATE_STARTING: return false;
    case LATCHKEY_STATE_UP:
    case LATCHKEY_STATE_STOPPING: return !names_workflow(request) || !host->n_publishing;
    case LATCHKEY_STATE_LEAVING:
    case LATCHKEY_STATE_STOPPED:
    case LATCHKEY_STATE_FREEING:
        fault_set(fault, FAULT_CANCELLED, "the host is stopping");
        return true;
    }
    return false;
}

/* Those that are asked for meanwhile wait for the next turn. */
void latchkey_request_turn(struct latchkey *host)
{
    struct latchkey_request *request;
    for (int n = host->n_held; n > 0 && (request = TAILQ_FIRST(&host->held)); n--) {
        struct fault fault = {0};
        if (!may_go(request, &fault))
            return;
        TAILQ_REMOVE(&host->held, request, link);
        TAILQ_INSERT_TAIL(&host->begun, request, link);
        host->n_held--;
        host->n_apart++;
        request->is_apart = true;
        if (request->kind == REQUEST_PUBLISH && fault.kind)
            host->n_publishing++; /* as if it had begun */
        if (fault.kind || !begin(request, &fault))
            tell_failed(request, &fault);
    }
}

/* ---- definitions ---- */

/* Its problems are told by the first error. */
static bool read_text(struct latchkey *host, const char *file, const char *text,
                      struct definition **out, struct fault *fault)
{
    struct problems problems;
    problems_init(&problems);
    bool ok =
        definition_read(runtime_sandbox(host->runtime), file, text, strlen(text), out, &problems);
    if (!ok)
        definition_file_first_error(file, &problems, fault);
    problems_done(&problems);
    return ok;
}

static bool read_file(struct latchkey *host, const char *file, struct definition **out,
                      struct fault *fault)
{
    struct problems problems;
    problems_init(&problems);
    bool ok = definition_file_read(runtime_sandbox(host->runtime), file, out, &problems, fault);
    problems_done(&problems);
    return ok;
}

/* text NULL: that of the file. */
static bool publish_from(struct latchkey *host, const char *file, const char *text, int base,
                         latchkey_published_fn *done, void *arg, struct latchkey_fault *fault)
{
    struct latchkey_request *request = NULL;
    struct fault failed;
    bool ok = request_new(host, REQUEST_PUBLISH, file, arg, &request, &failed) &&
              (text ? read_text(host, file, text, &request->definition, &failed)
                    : read_file(host, file, &request->definition, &failed));
    if (!ok)
        return refuse(request, &failed, fault);
    request->base = base;
    request->done.published = done;
    return hold(request);
}

bool latchkey_publish(struct latchkey *host, const char *file, const char *text, int base,
                      latchkey_published_fn *done, void *arg, struct latchkey_fault *fault)
{
    return publish_from(host, file, text, base, done, arg, fault);
}

bool latchkey_publish_file(struct latchkey *host, const char *file, int base,
                           latchkey_published_fn *done, void *arg, struct latchkey_fault *fault)
{
    return publish_from(host, file, /* text= */ NULL, base, done, arg, fault);
}

bool latchkey_find(struct latchkey *host, const char *workflow, latchkey_published_fn *done,
                   void *arg, struct latchkey_fault *fault)
{
    struct latchkey_request *request = NULL;
    struct fault failed;
    if (!request_new(host, REQUEST_FIND, workflow, arg, &request, &failed))
        return refuse(request, &failed, fault);
    request->done.published = done;
    return hold(request);
}

static bool ask_report(struct latchkey *host, enum request_kind kind, const char *name,
                       latchkey_report_fn *done, void *arg, struct latchkey_fault *fault)
{
    struct latchkey_request *request = NULL;
    struct fault failed;
    if (!request_new(host, kind, name, arg, &request, &failed))
        return refuse(request, &failed, fault);
    request->done.report = done;
    return hold(request);
}

bool latchkey_reload(struct latchkey *host, const char *directory, latchkey_report_fn *done,
                     void *arg, struct latchkey_fault *fault)
{
    return ask_report(host, REQUEST_RELOAD, directory, done, arg, fault);
}

bool latchkey_refresh(struct latchkey *host, const char *workflow, latchkey_report_fn *done,
                      void *arg, struct latchkey_fault *fault)
{
    return ask_report(host, REQUEST_REFRESH, workflow, done, arg, fault);
}

/* ---- running ---- */

/* value: JSON text, or NULL. */
static bool request_run(struct latchkey *host, enum request_kind kind, const char *name,
                        const char *what, const char *value, latchkey_result_fn *done, void *arg,
                        struct latchkey_request **out, struct fault *fault)
{
    struct latchkey_request *request;
    if (!request_new(host, kind, name, arg, &request, fault))
        return false;
    request->done.result = done;
    if (value && !json_read(what, value, strlen(value), &request->value, fault)) {
        request_free(request);
        return false;
    }
    *out = request;
    return true;
}

static bool ask_new(struct latchkey *host, enum request_kind kind, const char *workflow,
                    const char *input, const char *key, int priority, latchkey_result_fn *done,
                    void *arg, struct latchkey_fault *fault)
{
    struct latchkey_request *request = NULL;
    struct fault failed;
    if (!request_run(host, kind, workflow, "input", input ? input : "{}", done, arg, &request,
                     &failed) ||
        !copy(key, &request->key, &failed))
        return refuse(request, &failed, fault);
    request->priority = priority;
    return hold(request);
}

bool latchkey_submit(struct latchkey *host, const char *workflow, const char *input,
                     const char *key, latchkey_result_fn *done, void *arg,
                     struct latchkey_fault *fault)
{
    return ask_new(host, REQUEST_SUBMIT, workflow, input, key, /* priority= */ 0, done, arg, fault);
}

bool latchkey_enqueue(struct latchkey *host, const char *workflow, const char *input,
                      const char *key, int priority, latchkey_result_fn *done, void *arg,
                      struct latchkey_fault *fault)
{
    return ask_new(host, REQUEST_ENQUEUE, workflow, input, key, priority, done, arg, fault);
}

static bool ask_on(struct latchkey *host, const char *instance, const char *event,
                   const char *payload, latchkey_result_fn *done, void *arg,
                   struct latchkey_fault *fault)
{
    struct latchkey_request *request = NULL;
    struct fault failed;
    if (!request_run(host, REQUEST_DELIVER, instance, "payload", payload, done, arg, &request,
                     &failed) ||
        !copy(event, &request->event, &failed))
        return refuse(request, &failed, fault);
    return hold(request);
}

bool latchkey_deliver(struct latchkey *host, const char *instance, const char *event,
                      const char *payload, latchkey_result_fn *done, void *arg,
                      struct latchkey_fault *fault)
{
    return ask_on(host, instance, event, payload, done, arg, fault);
}

bool latchkey_resume(struct latchkey *host, const char *instance, latchkey_result_fn *done,
                     void *arg, struct latchkey_fault *fault)
{
    return ask_on(host, instance, /* event= */ NULL, /* payload= */ NULL, done, arg, fault);
}

bool latchkey_emit(struct latchkey *host, const char *event, const char *payload,
                   latchkey_report_fn *done, void *arg, struct latchkey_fault *fault)
{
    struct latchkey_request *request = NULL;
    struct fault failed;
    const char *text = payload ? payload : "{}";
    if (!request_new(host, REQUEST_EMIT, event, arg, &request, &failed) ||
        !json_read("payload", text, strlen(text), &request->value, &failed))
        return refuse(request, &failed, fault);
    request->done.report = done;
    return hold(request);
}
