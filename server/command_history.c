#include "command.h"
#include "command_line.h"
#include "listing.h"
#include "server_sql.h"

#include <string.h>

static bool read_history(struct session *session, const char *instance, json_t **out,
                         struct fault *fault)
{
    PGresult *rows = NULL;
    bool ok = listing_read(session, SQL_HISTORY_LIST, 1, &instance, out, &rows, fault);
    if (ok && json_array_size(*out) == 0 && strcmp(PQgetvalue(rows, 0, 1), "f") == 0)
        ok = fault_set(fault, FAULT_MISSING, "there is no instance %s", instance);
    PQclear(rows);
    return ok;
}

static void print_row(const json_t *row)
{
    size_t i;
    json_t *path;
    printf("%-32s %-20s %-10s %8.1f ms waited %8.1f ms held", listing_text(row, "finished_at"),
           listing_text(row, "activity"), listing_text(row, "status"),
           json_number_value(json_object_get(row, "waited_ms")),
           json_number_value(json_object_get(row, "held_ms")));
    json_array_foreach(json_object_get(row, "paths"), i, path)
        printf("  %s", json_string_value(path));
    if (*listing_text(row, "reason"))
        printf("  %s", listing_text(row, "reason"));
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
    struct session session = {0};
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
