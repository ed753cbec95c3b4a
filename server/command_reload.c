#include "command.h"
#include "command_line.h"
#include "definitions_choice.h"
#include "run_target.h"
#include "session.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *row, const char *key)
{
    return json_string_value(json_object_get(row, key));
}

static int number_of(const json_t *row, const char *key)
{
    return (int)json_integer_value(json_object_get(row, key));
}

static void print_problems(const char *directory, const json_t *report, bool quiet)
{
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(report, "problems"), i,
                       row) if (!quiet || strcmp(text_of(row, "severity"), "error") == 0)
        fprintf(stderr, "%s/%s:%d:%d: %s: %s\n", directory, text_of(row, "file"),
                number_of(row, "line"), number_of(row, "column"), text_of(row, "severity"),
                text_of(row, "message"));
}

static void print_report(const struct command_line *line, const char *directory,
                         const json_t *report)
{
    size_t i;
    const json_t *row;
    print_problems(directory, report, command_line_has(line, OPTION_QUIET));
    json_array_foreach(json_object_get(report, "removed"), i, row)
        command_say(line, "%s/%s is gone; %s stays published", directory, text_of(row, "file"),
                    text_of(row, "workflow"));
    if (command_line_has(line, OPTION_JSON)) {
        command_print_json(report);
        return;
    }
    if (strcmp(text_of(report, "status"), "reloaded") != 0)
        puts(text_of(report, "status"));
    json_array_foreach(json_object_get(report, "published"), i, row)
        printf("%s %d published\n", text_of(row, "workflow"), number_of(row, "version"));
    json_array_foreach(json_object_get(report, "unchanged"), i, row)
        printf("%s unchanged\n", json_string_value(row));
}

static bool has_errors(const json_t *report)
{
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(report, "problems"), i,
                       row) if (strcmp(text_of(row, "severity"), "error") == 0) return true;
    return false;
}

struct asking {
    const struct command_line *line;
    const char *directory; /* of a reload */
    bool told;
    int exit_code;
};

static void on_reloaded(const json_t *report, const struct fault *fault, void *arg)
{
    struct asking *asking = arg;
    asking->told = true;
    if (fault) {
        asking->exit_code = command_fail(fault);
        return;
    }
    print_report(asking->line, asking->directory, report);
    fflush(stdout); /* the program may look after a refused one for a moment longer */
    asking->exit_code = has_errors(report) ? 1 : 0;
}

static void on_refreshed(const json_t *report, const struct fault *fault, void *arg)
{
    struct asking *asking = arg;
    size_t i;
    const json_t *row;
    asking->told = true;
    if (fault) {
        asking->exit_code = command_fail(fault);
        return;
    }
    asking->exit_code = 0;
    if (command_line_has(asking->line, OPTION_JSON)) {
        command_print_json(report);
        return;
    }
    if (strcmp(text_of(report, "status"), "refreshed") != 0)
        puts(text_of(report, "status"));
    json_array_foreach(json_object_get(report, "refreshed"), i, row)
        printf("%s refreshed\n", json_string_value(row));
    json_array_foreach(json_object_get(report, "not-found"), i, row)
        printf("%s not-found\n", json_string_value(row));
}

static int finish(struct session *session, bool ok, struct asking *asking,
                  const struct fault *fault)
{
    while (ok && (!asking->told || runtime_is_changing_definitions(session->runtime)))
        event_base_loop(session->base, EVLOOP_ONCE);
    session_close(session);
    return ok ? asking->exit_code : command_fail(fault);
}

int command_reload(const struct command_line *line)
{
    struct fault fault;
    struct session session = {0};
    char publisher[PUBLISHER_BYTES];
    struct asking asking = {.line = line, .directory = definitions_choose(line)};
    if (!asking.directory) {
        fault_set(&fault, FAULT_INVALID,
                  "which directory? Give --definitions DIR or set LATCHKEY_DEFINITIONS");
        return command_fail(&fault);
    }
    run_target_publisher(publisher);
    bool ok =
        session_open(line, &session, SESSION_POOL_LONE, &fault) &&
        runtime_reload(session.runtime, asking.directory, publisher, on_reloaded, &asking, &fault);
    return finish(&session, ok, &asking, &fault);
}

int command_refresh(const struct command_line *line)
{
    struct fault fault;
    struct session session = {0};
    struct asking asking = {.line = line};
    bool ok = session_open(line, &session, SESSION_POOL_LONE, &fault) &&
              runtime_refresh(session.runtime, line->arguments, line->n_arguments, on_refreshed,
                              &asking, &fault);
    return finish(&session, ok, &asking, &fault);
}
