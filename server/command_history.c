#include "command.h"
#include "command_line.h"
#include "session.h"

#include <libpq-fe.h>
#include <string.h>

/* %1$s is the schema. One row: the executions as a JSON array, and whether the instance exists. */
static const char HISTORY[] =
    "SELECT coalesce((SELECT json_agg(h) FROM (SELECT e.finished_at, e.workflow, e.version,"
    " e.activity, e.status, e.reason, e.paths, e.token, e.waited_ms, e.held_ms, e.attempts,"
    " e.process FROM \"%1$s\".execution e WHERE e.instance = $1::uuid ORDER BY e.finished_at) h),"
    " '[]')::text, EXISTS (SELECT FROM \"%1$s\".instance WHERE id = $1::uuid)";

static bool read_history(struct session *session, const char *instance, json_t **out,
                         struct fault *fault)
{
    struct text query;
    PGresult *rows = NULL;
    text_init(&query, 4096);
    text_addf(&query, HISTORY, session->choice.schema);
    bool ok =
        text_ok(&query, fault) &&
        runtime_query(session->runtime, text_chars(&query), 1, &instance, &rows, fault) &&
        json_read("history", PQgetvalue(rows, 0, 0), (size_t)PQgetlength(rows, 0, 0), out, fault);
    if (ok && json_array_size(*out) == 0 && strcmp(PQgetvalue(rows, 0, 1), "f") == 0)
        ok = fault_set(fault, FAULT_MISSING, "there is no instance %s", instance);
    PQclear(rows);
    text_done(&query);
    return ok;
}

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text ? text : "";
}

static void print_row(const json_t *row)
{
    size_t i;
    json_t *path;
    printf("%-32s %-20s %-10s %8.1f ms waited %8.1f ms held", text_of(row, "finished_at"),
           text_of(row, "activity"), text_of(row, "status"),
           json_number_value(json_object_get(row, "waited_ms")),
           json_number_value(json_object_get(row, "held_ms")));
    json_array_foreach(json_object_get(row, "paths"), i, path)
        printf("  %s", json_string_value(path));
    if (*text_of(row, "reason"))
        printf("  %s", text_of(row, "reason"));
    putchar('\n');
}

static void print(const struct command_line *line, const json_t *history)
{
    size_t i;
    json_t *row;
    if (command_line_has(line, OPTION_JSON)) {
        command_print_json(history);
        return;
    }
    json_array_foreach(history, i, row) print_row(row);
}

int command_history(const struct command_line *line)
{
    struct fault fault;
    struct session session;
    json_t *history = NULL;
    const char *instance = line->arguments[0];
    if (!uuid_is_text(instance)) {
        fault_set(&fault, FAULT_INVALID, "'%s' is no instance id: it is a UUID", instance);
        return command_fail(&fault);
    }
    bool ok = session_open(line, &session, SESSION_POOL_LONE, &fault) &&
              read_history(&session, instance, &history, &fault);
    if (ok)
        print(line, history);
    session_close(&session);
    json_decref(history);
    return ok ? 0 : command_fail(&fault);
}
