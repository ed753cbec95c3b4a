/*
 * The commands of the program and their options: one table of each, from which the command line is
 * read and every help text is made. docs/cli.md tells them at length.
 */
#pragma once
#include "json.h"

#include <stdbool.h>
#include <stdio.h>

struct command_line;

enum command_id {
    COMMAND_CHECK,
    COMMAND_KEY,
    COMMAND_RUN,
    COMMAND_SERVE,
    COMMAND_SEND,
    COMMAND_RESUME,
    COMMAND_PUBLISH,
    COMMAND_RELOAD,
    COMMAND_REFRESH,
    COMMAND_EXPORT,
    COMMAND_MIGRATE,
    COMMAND_INSTANCES,
    COMMAND_JOBS,
    COMMAND_HISTORY,
    COMMAND_LOCKS,
    COMMAND_DB,
    COMMAND_DEMO,
    COMMAND_HELP,
};

enum command_option {
    OPTION_INPUT,
    OPTION_DATA,
    OPTION_COUNT,
    OPTION_CONCURRENCY,
    OPTION_VARY,
    OPTION_INPUTS,
    OPTION_HOSTS,
    OPTION_WORKER,
    OPTION_KEY,
    OPTION_QUEUE,
    OPTION_PAYLOAD,
    OPTION_ALL,
    OPTION_WORKFLOW,
    OPTION_STATUS,
    OPTION_DEAD,
    OPTION_RETRY,
    OPTION_AFTER,
    OPTION_LIMIT,
    OPTION_BASE,
    OPTION_OWNERSHIP,
    OPTION_KEEP_HISTORY,
    OPTION_WORKERS,
    OPTION_DEFINITIONS,
    OPTION_LISTEN,
    OPTION_TOKENS,
    OPTION_HOST_NAME,
    OPTION_REQUEST_TIMEOUT,
    OPTION_CONNECTIONS,
    OPTION_PEER_CONNECTIONS,
    OPTION_DRAIN,
    OPTION_EXPORTED, /* the version of `export` */
    OPTION_QUICK,
    OPTION_WATCH,
    OPTION_BREAK,
    OPTION_DATABASE,
    OPTION_DATA_DIR,
    OPTION_SCHEMA,
    OPTION_POOL,
    OPTION_BUSY_POLL,
    OPTION_LOG,
    OPTION_JSON,
    OPTION_QUIET,
    OPTION_HELP,
    OPTION_VERSION,
};

enum option_manner {
    OPTION_ONCE,
    OPTION_REPEATABLE,
    OPTION_HIDDEN, /* between processes of the program: in no help */
};

enum {
    EXIT_USAGE = 2, /* also: invalid */
    EXIT_MISSING = 5,
    EXIT_UNKNOWN = 75,
    EXIT_SIGNAL = 128, /* plus the signal's number */
};

/* Runs a command; returns the exit code of the program. */
typedef int command_fn(const struct command_line *line);

struct command_row {
    enum command_id id;
    const char *name;
    const char *arguments; /* as in a usage line */
    int least_arguments;
    int most_arguments; /* -1 = any number */
    const char *summary;
    const char *text; /* paragraphs of `COMMAND --help` */
    command_fn *run;
};

struct command_option_row {
    enum command_option option;
    enum option_manner manner;
    const char *name;     /* without the dashes */
    const char *argument; /* NULL for a flag */
    const char *help;
    unsigned commands; /* bits 1u << command_id */
};

/* Both end with a row without a name. */
extern const struct command_row commands[];
extern const struct command_option_row command_options[];

/* NULL if there is none of that name. */
const struct command_row *command_find(const char *name);

/* The nearest name of a command, or of an option of a command (NULL = of all); NULL if none is
 * near. */
const char *command_nearest(const char *written);
const char *command_nearest_option(const struct command_row *command, const char *written);

/* The row of that name, of a command (NULL = of those of every command first): one of its own goes
 * before one of all. NULL if there is none. */
const struct command_option_row *command_find_option(const struct command_row *command,
                                                     const char *name, size_t length);

/* Whether help on a command (NULL = on all of them) is to tell it. */
bool command_takes_option(const struct command_row *command, const struct command_option_row *row);

/* Help on everything (command NULL) or on one command. */
void command_print_help(const struct command_row *command, FILE *out);

/* "latchkey: TEXT" on stderr. Returns the exit code that the kind of failure stands for. */
int command_fail(const struct fault *fault);

/* One line of words on stderr, unless --quiet was given. */
void command_say(const struct command_line *line, const char *format, ...) FORMAT_ARGS(2, 3);

/* One line on stdout. */
void command_print_json(const json_t *value);

/* The whole program: reads the command line, runs the command, checks that its output got out. */
int command_main(int argc, char **argv);

command_fn command_check;
command_fn command_key;
command_fn command_run;
command_fn command_serve;
command_fn command_send;
command_fn command_resume;
command_fn command_publish;
command_fn command_reload;
command_fn command_refresh;
command_fn command_export;
command_fn command_migrate;
command_fn command_instances;
command_fn command_jobs;
command_fn command_history;
command_fn command_locks;
command_fn command_db;
command_fn command_demo;
command_fn command_help;

/* `run` with a command line that cannot be read: tells it as JSON if that was asked for. */
int command_run_refused(const struct command_line *line, const struct fault *fault);
