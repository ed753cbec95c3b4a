#include "command.h"
#include "command_line.h"
#include "listing.h"
#include "server_sql.h"

#include <event2/event.h>
#include <string.h>

/* ---- the list ---- */

static void print_row(const json_t *row)
{
    const char *state = json_is_true(json_object_get(row, "dead")) ? "dead"
                        : *listing_text(row, "claimed_by")         ? "taken"
                                                                   : "waits";
    printf("%s  %-5s %-6s %-24s %s  %d of %d attempts  %s", listing_text(row, "id"), state,
           listing_text(row, "kind"), listing_text(row, "workflow"), listing_text(row, "instance"),
           (int)json_integer_value(json_object_get(row, "attempts")),
           (int)json_integer_value(json_object_get(row, "attempts_max")),
           listing_text(row, "run_at"));
    if (*listing_text(row, "event"))
        printf("  event %s", listing_text(row, "event"));
    if (*listing_text(row, "last_status"))
        printf("  %s", listing_text(row, "last_status"));
    if (*listing_text(row, "last_error"))
        printf(": %s", listing_text(row, "last_error"));
    putchar('\n');
}

static void print(const struct command_line *line, const json_t *jobs)
{
    size_t i;
    json_t *row;
    if (command_line_has(line, OPTION_JSON))
        command_print_json(jobs);
    else
        json_array_foreach(jobs, i, row) print_row(row);
}

static bool list(const struct command_line *line, struct session *session, struct fault *fault)
{
    char limit_text[24];
    int64_t limit = LISTING_LIMIT_DEFAULT;
    json_t *jobs = NULL;
    const char *params[] = {command_line_has(line, OPTION_DEAD) ? "true" : "false",
                            command_line_value(line, OPTION_AFTER), limit_text};
    bool ok = command_line_integer(line, OPTION_LIMIT, 1, LISTING_LIMIT_MAX, &limit, fault);
    snprintf(limit_text, sizeof limit_text, "%lld", (long long)limit);
    ok = ok && listing_read(session, SQL_JOB_LIST, 3, params, &jobs, /* rows= */ NULL, fault);
    if (ok)
        print(line, jobs);
    json_decref(jobs);
    return ok;
}

/* ---- another try ---- */

struct retry {
    struct event_base *base;
    bool told;
    enum execution_status status;
    struct fault fault;
};

static void on_retried(enum execution_status status, const char *reason, void *arg)
{
    struct retry *retry = arg;
    retry->told = true;
    retry->status = status;
    fault_set(&retry->fault, FAULT_CONFLICT, "%s", reason);
    event_base_loopbreak(retry->base);
}

static bool retry_job(const struct command_line *line, struct session *session, int *exit_code,
                      struct fault *fault)
{
    const char *id = command_line_value(line, OPTION_RETRY);
    struct retry retry = {.base = session->base};
    if (!runtime_retry_job(session->runtime, id, on_retried, &retry, fault))
        return false;
    while (!retry.told)
        event_base_loop(session->base, EVLOOP_ONCE);
    const struct execution_status_row *row = execution_status_row(retry.status);
    *exit_code = row->exit_code;
    if (command_line_has(line, OPTION_JSON)) {
        json_t *object =
            json_pack("{s:s, s:s, s:s?}", "id", id, "status", row->name, "reason",
                      retry.status == STATUS_QUEUED ? (const char *)NULL : retry.fault.text);
        command_print_json(object);
        json_decref(object);
    } else if (retry.status == STATUS_QUEUED) {
        command_say(line, "job %s will run again", id);
    }
    if (retry.status != STATUS_QUEUED)
        fprintf(stderr, "latchkey: %s: %s\n", row->name, retry.fault.text);
    return true;
}

int command_jobs(const struct command_line *line)
{
    struct fault fault;
    struct session session = {0};
    int exit_code = 0;
    bool ok = command_line_uuid(line, OPTION_AFTER, &fault) &&
              command_line_uuid(line, OPTION_RETRY, &fault) &&
              session_open(line, &session, SESSION_POOL_LONE, &fault);
    if (ok && command_line_has(line, OPTION_RETRY))
        ok = retry_job(line, &session, &exit_code, &fault);
    else if (ok)
        ok = list(line, &session, &fault);
    session_close(&session);
    return ok ? exit_code : command_fail(&fault);
}
