#include "database_choice.h"

#include "command_line.h"
#include "pg_server.h"

#include <stdlib.h>
#include <string.h>

enum {
    CONNINFO_BYTES_MAX = 64 * 1024,
};

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* The variables that say where a server is. Others (PGPASSWORD, PGSSLMODE, ...) only say how. */
static bool libpq_is_told(void)
{
    static const char *const names[] = {"PGHOST", "PGHOSTADDR", "PGPORT",       "PGDATABASE",
                                        "PGUSER", "PGSERVICE",  "PGSERVICEFILE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (environment(names[i]))
            return true;
    return false;
}

bool database_is_named(const struct command_line *line)
{
    return command_line_has(line, OPTION_DATABASE) || environment("LATCHKEY_DATABASE") ||
           libpq_is_told();
}

bool database_choose_schema(const struct command_line *line, char schema[SCHEMA_BYTES],
                            struct fault *fault)
{
    const char *letters = "abcdefghijklmnopqrstuvwxyz_";
    const char *from = "--schema";
    const char *name = command_line_value(line, OPTION_SCHEMA);
    if (!name) {
        from = "LATCHKEY_SCHEMA";
        name = environment("LATCHKEY_SCHEMA");
    }
    if (!name)
        name = "latchkey";
    size_t length = strlen(name);
    bool ok = length > 0 && length < SCHEMA_BYTES && strchr(letters, name[0]);
    ok = ok && strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789") == length;
    if (!ok)
        return fault_set(fault, FAULT_INVALID,
                         "%s: '%s' is no name of a schema: lower-case letters, digits and "
                         "underscores, at most 63, no digit first",
                         from, name);
    if (strcmp(name, "public") == 0 || strcmp(name, "information_schema") == 0)
        return fault_set(fault, FAULT_INVALID,
                         "%s: '%s' is not latchkey's to use: it takes a "
                         "schema of its own",
                         from, name);
    if (strncmp(name, "pg_", 3) == 0)
        return fault_set(fault, FAULT_INVALID, "%s: names that begin with pg_ are PostgreSQL's own",
                         from);
    memcpy(schema, name, length + 1);
    return true;
}

bool database_data_dir(const struct command_line *line, struct text *out, struct fault *fault)
{
    const char *given = command_line_value(line, OPTION_DATA_DIR);
    if (given && !*given)
        return fault_set(fault, FAULT_INVALID, "--data-dir is empty");
    if (!given)
        return pg_server_default_dir(out, fault);
    text_add_chars(out, given);
    return text_ok(out, fault);
}

static bool choose_embedded(const struct command_line *line, struct text *conninfo,
                            struct fault *fault)
{
    bool started = false;
    struct text directory;
    text_init(&directory, CONNINFO_BYTES_MAX);
    bool ok = database_data_dir(line, &directory, fault) &&
              pg_server_start(text_chars(&directory), conninfo, &started, fault);
    if (ok && started)
        command_say(line, "started the embedded PostgreSQL in %s; `latchkey db stop` stops it",
                    text_chars(&directory));
    text_done(&directory);
    return ok;
}

bool database_choose(const struct command_line *line, struct database_choice *choice,
                     struct fault *fault)
{
    const char *conninfo = command_line_value(line, OPTION_DATABASE);
    *choice = (struct database_choice){0};
    text_init(&choice->conninfo, CONNINFO_BYTES_MAX);
    if (!database_choose_schema(line, choice->schema, fault))
        return false;
    choice->embedded = !database_is_named(line);
    if (choice->embedded)
        return choose_embedded(line, &choice->conninfo, fault);
    if (command_line_has(line, OPTION_DATA_DIR))
        command_say(line, "--data-dir is not used: a database is named by %s",
                    conninfo ? "--database" : "the environment");
    if (!conninfo)
        conninfo = environment("LATCHKEY_DATABASE");
    text_add_chars(&choice->conninfo, conninfo ? conninfo : "");
    return text_ok(&choice->conninfo, fault);
}

void database_choice_done(struct database_choice *choice)
{
    text_done(&choice->conninfo);
}
