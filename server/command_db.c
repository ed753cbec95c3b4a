#include "command.h"
#include "command_line.h"
#include "database_choice.h"
#include "pg_server.h"
#include "spelling.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CONNINFO_BYTES_MAX = 16 * 1024,
};

static void print_url(const struct command_line *line, const char *url)
{
    json_t *object = json_pack("{s:s}", "url", url);
    if (command_line_has(line, OPTION_JSON))
        command_print_json(object);
    else
        puts(url);
    json_decref(object);
}

static bool db_start(const struct command_line *line, const char *directory, struct fault *fault)
{
    struct text conninfo;
    bool started = false;
    text_init(&conninfo, CONNINFO_BYTES_MAX);
    bool ok = pg_server_start(directory, &conninfo, &started, fault);
    if (ok) {
        command_say(line, started ? "started in %s" : "was running already in %s", directory);
        print_url(line, text_chars(&conninfo));
    }
    text_done(&conninfo);
    return ok;
}

static bool db_stop(const struct command_line *line, const char *directory, struct fault *fault)
{
    bool stopped = false;
    if (!pg_server_stop(directory, &stopped, fault))
        return false;
    command_say(line, stopped ? "stopped" : "was not running");
    if (command_line_has(line, OPTION_JSON)) {
        json_t *object = json_pack("{s:b}", "stopped", stopped);
        command_print_json(object);
        json_decref(object);
    }
    return true;
}

static bool db_url(const struct command_line *line, const char *directory, struct fault *fault)
{
    struct text conninfo;
    text_init(&conninfo, CONNINFO_BYTES_MAX);
    bool ok = pg_server_url(directory, &conninfo, fault);
    if (ok)
        print_url(line, text_chars(&conninfo));
    text_done(&conninfo);
    return ok;
}

static bool exec_psql(const struct command_line *line, const char *url, struct fault *fault)
{
    const char **argv = calloc((size_t)line->n_arguments + 2, sizeof *argv);
    if (!argv)
        return fault_no_memory(fault);
    argv[0] = "psql";
    argv[1] = url;
    for (int i = 1; i < line->n_arguments; i++)
        argv[i + 1] = line->arguments[i];
    fflush(stdout);
    execvp("psql", (char *const *)argv);
    free(argv);
    return fault_set(fault, FAULT_EXHAUSTED, "cannot run psql: %s", strerror(errno));
}

static bool db_psql(const struct command_line *line, const char *directory, struct fault *fault)
{
    struct text conninfo;
    bool started = false;
    text_init(&conninfo, CONNINFO_BYTES_MAX);
    bool ok = pg_server_start(directory, &conninfo, &started, fault);
    if (ok && started)
        command_say(line, "started the embedded PostgreSQL in %s", directory);
    ok = ok && exec_psql(line, text_chars(&conninfo), fault);
    text_done(&conninfo);
    return ok;
}

static const struct {
    const char *name;
    bool (*run)(const struct command_line *line, const char *directory, struct fault *fault);
    bool takes_more;
} actions[] = {
    {"start", db_start, false},
    {"stop", db_stop, false},
    {"url", db_url, false},
    {"psql", db_psql, true},
};

static bool run_action(const struct command_line *line, const char *name, const char *directory,
                       struct fault *fault)
{
    struct spelling spelling = {0};
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        spelling_consider(&spelling, name, actions[i].name);
        if (strcmp(actions[i].name, name) != 0)
            continue;
        if (line->n_arguments > 1 && !actions[i].takes_more)
            return fault_set(fault, FAULT_INVALID, "db %s does not take '%s'", name,
                             line->arguments[1]);
        return actions[i].run(line, directory, fault);
    }
    if (spelling.nearest)
        return fault_set(fault, FAULT_INVALID, "there is no db %s; did you mean 'db %s'?", name,
                         spelling.nearest);
    return fault_set(fault, FAULT_INVALID, "there is no db %s; there are start, stop, url and psql",
                     name);
}

int command_db(const struct command_line *line)
{
    struct fault fault;
    struct text directory;
    text_init(&directory, CONNINFO_BYTES_MAX);
    bool ok = database_data_dir(line, &directory, &fault) &&
              run_action(line, line->arguments[0], text_chars(&directory), &fault);
    text_done(&directory);
    return ok ? 0 : command_fail(&fault);
}
