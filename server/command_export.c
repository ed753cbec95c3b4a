#include "command.h"
#include "command_line.h"
#include "session.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

static bool read_version(struct session *session, const char *name, int64_t version,
                         PGresult **rows, struct fault *fault)
{
    struct text query;
    char number[24];
    const char *params[] = {name, number};
    snprintf(number, sizeof number, "%lld", (long long)version);
    text_init(&query, 4096);
    text_addf(&query, "SELECT version, checksum, source, published_at, published_by FROM ");
    session_add_table(session, "definition", &query);
    text_addf(&query, " WHERE workflow = $1::text AND ($2::integer = 0 OR version = $2::integer)"
                      " ORDER BY version DESC LIMIT 1");
    bool ok = text_ok(&query, fault) &&
              runtime_query(session->runtime, text_chars(&query), 2, params, rows, fault);
    text_done(&query);
    if (!ok || PQntuples(*rows) == 1)
        return ok;
    return version ? fault_set(fault, FAULT_MISSING, "workflow '%s' has no version %lld", name,
                               (long long)version)
                   : fault_set(fault, FAULT_MISSING, "no workflow '%s' is published", name);
}

static void print(const struct command_line *line, const PGresult *rows)
{
    if (!command_line_has(line, OPTION_JSON)) {
        fwrite(PQgetvalue(rows, 0, 2), 1, (size_t)PQgetlength(rows, 0, 2), stdout);
        return;
    }
    json_t *object =
        json_pack("{s:s, s:i, s:s, s:s, s:s, s:s}", "workflow", line->arguments[0], "version",
                  atoi(PQgetvalue(rows, 0, 0)), "checksum", PQgetvalue(rows, 0, 1), "published_at",
                  PQgetvalue(rows, 0, 3), "published_by", PQgetvalue(rows, 0, 4), "source",
                  PQgetvalue(rows, 0, 2));
    command_print_json(object);
    json_decref(object);
}

int command_export(const struct command_line *line)
{
    struct fault fault;
    struct session session = {0};
    PGresult *rows = NULL;
    int64_t version = 0;
    bool ok = command_line_integer(line, OPTION_EXPORTED, 1, INT32_MAX, &version, &fault) &&
              session_open(line, &session, SESSION_POOL_LONE, &fault) &&
              read_version(&session, line->arguments[0], version, &rows, &fault);
    if (ok)
        print(line, rows);
    PQclear(rows);
    session_close(&session);
    return ok ? 0 : command_fail(&fault);
}
