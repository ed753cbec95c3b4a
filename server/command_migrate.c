#include "command.h"
#include "command_line.h"
#include "session.h"

#include <libpq-fe.h>
#include <stdlib.h>

static bool count_migrations(struct session *session, int *n, struct fault *fault)
{
    struct text query;
    PGresult *rows = NULL;
    text_init(&query, 256);
    text_add_chars(&query, "SELECT count(*) FROM ");
    session_add_table(session, "migration", &query);
    bool ok = text_ok(&query, fault) &&
              runtime_query(session->runtime, text_chars(&query), 0, NULL, &rows, fault);
    if (ok)
        *n = (int)strtol(PQgetvalue(rows, 0, 0), NULL, 10);
    PQclear(rows);
    text_done(&query);
    return ok;
}

static void print(const struct command_line *line, const char *schema, int n)
{
    json_t *object = json_pack("{s:s, s:i}", "schema", schema, "migrations", n);
    if (command_line_has(line, OPTION_JSON))
        command_print_json(object);
    else
        printf("schema %s is up to date, %d migrations\n", schema, n);
    json_decref(object);
}

int command_migrate(const struct command_line *line)
{
    struct fault fault;
    struct session session;
    int n = 0;
    bool ok = session_open(line, &session, SESSION_POOL_LONE, &fault) &&
              count_migrations(&session, &n, &fault);
    if (ok)
        print(line, session.choice.schema, n);
    session_close(&session);
    return ok ? 0 : command_fail(&fault);
}
