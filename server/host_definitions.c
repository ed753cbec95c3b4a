#include "host_definitions.h"

#include "host.h"

#include <event2/event.h>

static void say(const struct host *host, enum log_level level, const char *text)
{
    log_line(&host->session.log, level, "definitions", "%s", text);
}

static void tell_problems(const struct host *host, const json_t *report)
{
    size_t i;
    const json_t *problem;
    json_array_foreach(json_object_get(report, "problems"), i, problem)
        log_line(&host->session.log, LOG_LEVEL_WARNING, "definitions", "%s/%s:%d:%d: %s: %s",
                 host->directory, json_string_value(json_object_get(problem, "file")),
                 (int)json_integer_value(json_object_get(problem, "line")),
                 (int)json_integer_value(json_object_get(problem, "column")),
                 json_string_value(json_object_get(problem, "severity")),
                 json_string_value(json_object_get(problem, "message")));
}

static void tell_removed(const struct host *host, const json_t *report)
{
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(report, "removed"), i, row) log_line(
        &host->session.log, LOG_LEVEL_WARNING, "definitions", "%s/%s is gone; %s stays published",
        host->directory, json_string_value(json_object_get(row, "file")),
        json_string_value(json_object_get(row, "workflow")));
}

static void tell_published(const struct host *host, const json_t *report)
{
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(report, "published"), i, row)
        log_line(&host->session.log, LOG_LEVEL_INFO, "definitions", "published %s %d from %s/%s",
                 json_string_value(json_object_get(row, "workflow")),
                 (int)json_integer_value(json_object_get(row, "version")), host->directory,
                 json_string_value(json_object_get(row, "file")));
}

static void tell_report(const struct host *host, const json_t *report)
{
    tell_problems(host, report);
    tell_removed(host, report);
    tell_published(host, report);
    log_line(&host->session.log, LOG_LEVEL_INFO, "definitions", "reload: %s, %d file(s), %d new",
             json_string_value(json_object_get(report, "status")),
             (int)json_integer_value(json_object_get(report, "files")),
             (int)json_array_size(json_object_get(report, "published")));
}

struct first_reload {
    const struct host *host;
    bool told;
    struct fault fault;
};

static void on_first(const json_t *report, const struct fault *fault, void *arg)
{
    struct first_reload *first = arg;
    first->told = true;
    if (fault)
        first->fault = *fault;
    else
        tell_report(first->host, report);
}

bool host_definitions_start(struct host *host, struct fault *fault)
{
    struct first_reload first = {.host = host};
    struct runtime *runtime = host->session.runtime;
    if (!runtime_watch(runtime, host->directory, host->publisher, fault))
        return false;
    if (!host->directory)
        return true;
    if (!runtime_reload(runtime, host->directory, host->publisher, on_first, &first, fault))
        return false;
    while (!first.told)
        event_base_loop(host->session.base, EVLOOP_ONCE);
    if (first.fault.kind)
        *fault = first.fault;
    return !first.fault.kind;
}

static void on_reloaded(const json_t *report, const struct fault *fault, void *arg)
{
    const struct host *host = arg;
    if (fault)
        log_line(&host->session.log, LOG_LEVEL_ERROR, "definitions", "reload: %s", fault->text);
    else
        tell_report(host, report);
}

void host_definitions_reload(struct host *host)
{
    struct fault fault;
    if (!host->directory)
        say(host, LOG_LEVEL_WARNING, "no --definitions directory: nothing to reload");
    else if (!runtime_reload(host->session.runtime, host->directory, host->publisher, on_reloaded,
                             host, &fault))
        say(host, LOG_LEVEL_ERROR, fault.text);
}

bool host_definitions_is_busy(const struct host *host)
{
    return runtime_is_changing_definitions(host->session.runtime);
}
