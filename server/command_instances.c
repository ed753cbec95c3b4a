#include "command.h"
#include "command_line.h"
#include "listing.h"
#include "server_sql.h"

#include <string.h>

static const char *const statuses[] = {"running", "idle", "failed", "blocked", "completed"};

static bool check_status(const char *status, struct fault *fault)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (!status || strcmp(status, statuses[i]) == 0)
            return true;
    return fault_set(fault, FAULT_INVALID,
                     "--status wants running, idle, failed, blocked or completed, not '%.40s'",
                     status);
}

static void print_row(const json_t *row)
{
    printf("%s  %-9s %-24s %-20s %s", listing_text(row, "id"), listing_text(row, "status"),
           listing_text(row, "workflow"), listing_text(row, "activity"),
           listing_text(row, "updated_at"));
    if (*listing_text(row, "wait_for"))
        printf("  waits for %s", listing_text(row, "wait_for"));
    if (*listing_text(row, "reason"))
        printf("  %s", listing_text(row, "reason"));
    putchar('\n');
}

static void print(const struct command_line *line, const json_t *instances)
{
    size_t i;
    json_t *row;
    if (command_line_has(line, OPTION_JSON))
        command_print_json(instances);
    else
        json_array_foreach(instances, i, row) print_row(row);
}

int command_instances(const struct command_line *line)
{
    struct fault fault;
    struct session session = {0};
    json_t *instances = NULL;
    char limit_text[24];
    int64_t limit = LISTING_LIMIT_DEFAULT;
    const char *status = command_line_value(line, OPTION_STATUS);
    bool completed =
        command_line_has(line, OPTION_ALL) || (status && strcmp(status, "completed") == 0);
    const char *params[] = {command_line_value(line, OPTION_WORKFLOW), status,
                            completed ? "true" : "false", command_line_value(line, OPTION_AFTER),
                            limit_text};
    bool ok = check_status(status, &fault) && command_line_uuid(line, OPTION_AFTER, &fault) &&
              command_line_integer(line, OPTION_LIMIT, 1, LISTING_LIMIT_MAX, &limit, &fault);
    snprintf(limit_text, sizeof limit_text, "%lld", (long long)limit);
    ok = ok && session_open(line, &session, SESSION_POOL_LONE, &fault) &&
         listing_read(&session, SQL_INSTANCE_LIST, 5, params, &instances, /* rows= */ NULL, &fault);
    if (ok)
        print(line, instances);
    session_close(&session);
    json_decref(instances);
    return ok ? 0 : command_fail(&fault);
}
