#include "command.h"

#include "command_line.h"
#include "spelling.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ON(name) (1u << COMMAND_##name)

enum {
    ON_ALL = ~0u >> 1,
    ON_DATABASE = ON(RUN) | ON(SERVE) | ON(SEND) | ON(RESUME) | ON(PUBLISH) | ON(RELOAD) |
                  ON(REFRESH) | ON(EXPORT) | ON(MIGRATE) | ON(INSTANCES) | ON(JOBS) | ON(HISTORY) |
                  ON(LOCKS) | ON(DEMO),
    HELP_COLUMN = 30,
    HELP_WIDTH = 96,
};

const struct command_row commands[] = {
    {COMMAND_CHECK, "check", "FILE...", 1, -1, "validate definition files",
     "Reads each file and tells every error and warning with its place. Needs no database.\n"
     "Exits 0 when there is no error, otherwise 1.",
     command_check},
    {COMMAND_KEY, "key", "FILE ACTIVITY", 2, 2, "print the lock paths that an activity would take",
     "Evaluates the activity's lock context over the input and prints the lock paths, one a line;\n"
     "nothing for an activity without a lock. Needs no database. Exits 2 when the file, the input\n"
     "or the value of the lock context is invalid.",
     command_key},
    {COMMAND_RUN, "run", "FILE|NAME", 1, 1, "run a workflow, once or many times",
     "Publishes the file if it has changed, or takes the latest published version of the name, "
     "and\n"
     "runs it. With --count or --inputs it runs many and prints totals by status, the rate and "
     "the\n"
     "latency. Exits with the code of the outcome: 0 completed or idle, 1 failed, conflict or\n"
     "expired, 2 invalid, 3 locked, 4 blocked, 5 missing, 75 unknown. With --queue it is left to\n"
     "the background, for any host to run; exits 0 once that is sure.",
     command_run},
    {COMMAND_SERVE, "serve", "", 0, 0, "be a host until a signal ends it",
     "Imports the definitions directory and keeps at what is published, by this host or another,\n"
     "without a restart. Serves the HTTP API on 127.0.0.1:8080, or where --listen says; addresses\n"
     "that others can reach want --tokens. SIGHUP reloads the directory. SIGTERM or SIGINT ends "
     "the host: no new\n"
     "work is taken, what is under way may take --drain seconds more and is then rolled back; a\n"
     "second signal ends it at once.",
     command_serve},
    {COMMAND_SEND, "send", "INSTANCE EVENT", 2, 2, "send an event to an idle instance",
     "Runs the instance on with the event that it waits for, until it ends or waits again, and\n"
     "prints the result as `run` does. An instance that does not take the event now answers\n"
     "blocked with its true state (exit 4), one that does not exist missing (exit 5).",
     command_send},
    {COMMAND_RESUME, "resume", "INSTANCE", 1, 1, "run a stopped instance on",
     "Runs on an instance that failed or was blocked, or whose host died, after its last commit\n"
     "point, and prints the result as `run` does.",
     command_resume},
    {COMMAND_PUBLISH, "publish", "FILE...", 1, -1, "publish definitions",
     "Adds a new version of each definition whose text has changed. Nothing is published when one\n"
     "of the files is invalid.",
     command_publish},
    {COMMAND_RELOAD, "reload", "", 0, 0, "import a directory of definitions",
     "Publishes each *.yaml, *.yml and *.json file of the directory whose text has changed. A "
     "broken\n"
     "file is told with its place and keeps no other from being published; then the exit code is\n"
     "1. A file that is gone is told; its workflow stays published. While another host is at it,\n"
     "says already-in-progress and exits 0: that host reads the directory once more.",
     command_reload},
    {COMMAND_REFRESH, "refresh", "[ID...]", 0, -1, "have every host read definitions again",
     "Indexes the triggers of the workflows named, or of all, anew, and has every host read them\n"
     "again. Says already-in-progress, doing nothing, while one of them is being changed. Names "
     "that\n"
     "are not published are listed as not-found.",
     command_refresh},
    {COMMAND_EXPORT, "export", "NAME", 1, 1, "print the text of a published definition",
     "Prints the text of the latest version, or of --version N, as it was published.",
     command_export},
    {COMMAND_MIGRATE, "migrate", "", 0, 0, "create or upgrade the schema",
     "Brings the schema to what this program needs. The other commands do it too.",
     command_migrate},
    {COMMAND_INSTANCES, "instances", "", 0, 0, "list instances",
     "Prints one line for each instance that has not completed, the newest first.",
     command_instances},
    {COMMAND_JOBS, "jobs", "", 0, 0, "list background jobs, or let a dead one run again",
     "Prints one line for each background job, the oldest first. A job that has used up its\n"
     "attempts is dead: it is kept, and --retry lets it run again with all of them.",
     command_jobs},
    {COMMAND_HISTORY, "history", "INSTANCE", 1, 1, "list the executions of an instance",
     "Prints one line for each execution of the instance, the oldest first.", command_history},
    {COMMAND_LOCKS, "locks", "", 0, 0, "who holds lock paths, and who waits",
     "Lists the locks of all hosts and of other programs, and who waits for them behind which "
     "paths.\n"
     "With --break it ends who holds a path instead: its executions end expired, and who did it "
     "is\n"
     "recorded. Exits 5 when nobody holds the path.",
     command_locks},
    {COMMAND_DB, "db", "start|stop|url|psql", 1, -1, "the embedded PostgreSQL",
     "start    starts it, creating it if needed, and prints its connection string\n"
     "stop     stops it\n"
     "url      prints its connection string; exits 5 when it does not run\n"
     "psql     starts it and opens psql; arguments after -- go to psql",
     command_db},
    {COMMAND_DEMO, "demo", "[NAME]", 0, 1, "show a sample with and without locks",
     "Runs the variants of a sample over several host processes and prints what went wrong, or "
     "its\n"
     "steps and what each was told. Uses an embedded PostgreSQL of its own and removes it\n"
     "afterwards, unless a database is named. The samples are message-read, which is the default,\n"
     "invoice-payment, package-latest and two-hosts.",
     command_demo},
    {COMMAND_HELP, "help", "[COMMAND]", 0, 1, "show this, or help on a command",
     "Shows the commands, or the options of one.", command_help},
    {.name = NULL},
};

const struct command_option_row command_options[] = {
    {OPTION_INPUT, OPTION_ONCE, "input", "JSON", "input of the workflow, an object",
     ON(RUN) | ON(KEY)},
    {OPTION_DATA, OPTION_ONCE, "data", "JSON", "what the lock context sees as data, an object",
     ON(KEY)},
    {OPTION_COUNT, OPTION_ONCE, "count", "N", "run it so many times and print totals", ON(RUN)},
    {OPTION_CONCURRENCY, OPTION_ONCE, "concurrency", "C",
     "so many at once (default 64 with --count)", ON(RUN)},
    {OPTION_VARY, OPTION_REPEATABLE, "vary", "NAME=A..B",
     "draw an input field uniformly; may be repeated", ON(RUN)},
    {OPTION_INPUTS, OPTION_ONCE, "inputs", "FILE",
     "inputs, one JSON object a line; added to --input", ON(RUN)},
    {OPTION_HOSTS, OPTION_ONCE, "hosts", "H", "spread the runs over so many processes", ON(RUN)},
    {OPTION_WORKER, OPTION_HIDDEN, "worker", NULL, "be one of the processes of --hosts", ON(RUN)},
    {OPTION_KEY, OPTION_ONCE, "key", "KEY",
     "idempotency key: the same key and input is one execution and one answer", ON(RUN)},
    {OPTION_QUEUE, OPTION_ONCE, "queue", NULL, "leave it to the background", ON(RUN)},
    {OPTION_PAYLOAD, OPTION_ONCE, "payload", "JSON", "what the event carries (default null)",
     ON(SEND)},
    {OPTION_ALL, OPTION_ONCE, "all", NULL, "completed ones too", ON(INSTANCES)},
    {OPTION_WORKFLOW, OPTION_ONCE, "workflow", "NAME", "only of this workflow", ON(INSTANCES)},
    {OPTION_STATUS, OPTION_ONCE, "status", "STATUS",
     "only running, idle, failed, blocked or completed ones", ON(INSTANCES)},
    {OPTION_DEAD, OPTION_ONCE, "dead", NULL, "only dead ones", ON(JOBS)},
    {OPTION_RETRY, OPTION_ONCE, "retry", "ID", "let this dead job run again", ON(JOBS)},
    {OPTION_AFTER, OPTION_ONCE, "after", "ID", "those that follow this one in the list",
     ON(INSTANCES) | ON(JOBS)},
    {OPTION_LIMIT, OPTION_ONCE, "limit", "N", "at most so many (default 100)",
     ON(INSTANCES) | ON(JOBS)},
    {OPTION_BASE, OPTION_ONCE, "base", "N", "refuse unless version N is the latest (0 = none yet)",
     ON(PUBLISH)},
    {OPTION_DEFINITIONS, OPTION_ONCE, "definitions", "DIR",
     "directory of definition files (else LATCHKEY_DEFINITIONS)", ON(SERVE) | ON(RELOAD)},
    {OPTION_WORKERS, OPTION_ONCE, "workers", "N",
     "background executions at a time (default 64, up to 512 while they are done fast)", ON(SERVE)},
    {OPTION_KEEP_HISTORY, OPTION_ONCE, "keep-history", "DURATION",
     "forget history, completed instances, keys, dead jobs and broken locks after so long (default "
     "30d, 0s = never)",
     ON(SERVE)},
    {OPTION_OWNERSHIP, OPTION_ONCE, "ownership-timeout", "DURATION",
     "a host silent for so long loses its instances and jobs (default 30s)", ON(RUN) | ON(SERVE)},
    {OPTION_LISTEN, OPTION_ONCE, "listen", "ADDRESS:PORT",
     "where HTTP is served (default 127.0.0.1:8080); none = nowhere", ON(SERVE)},
    {OPTION_TOKENS, OPTION_ONCE, "tokens", "FILE",
     "who may do what over HTTP; wanted for any address but loopback", ON(SERVE)},
    {OPTION_HOST_NAME, OPTION_REPEATABLE, "host", "NAME",
     "a name that HTTP requests may be for; may be repeated", ON(SERVE)},
    {OPTION_REQUEST_TIMEOUT, OPTION_ONCE, "request-timeout", "DURATION",
     "an HTTP request must have arrived by then (default 10s)", ON(SERVE)},
    {OPTION_CONNECTIONS, OPTION_ONCE, "connections", "N",
     "HTTP connections at a time (default 20000)", ON(SERVE)},
    {OPTION_PEER_CONNECTIONS, OPTION_ONCE, "connections-per-peer", "N",
     "of them from one address (default 2000)", ON(SERVE)},
    {OPTION_DRAIN, OPTION_ONCE, "drain", "SECONDS",
     "what is under way may take so long after a signal (default 30)", ON(SERVE)},
    {OPTION_EXPORTED, OPTION_ONCE, "version", "N", "that version (default the latest)", ON(EXPORT)},
    {OPTION_QUICK, OPTION_ONCE, "quick", NULL, "a fifth of the executions", ON(DEMO)},
    {OPTION_WATCH, OPTION_ONCE, "watch", NULL, "list again whenever something changes", ON(LOCKS)},
    {OPTION_BREAK, OPTION_ONCE, "break", "PATH", "end who holds the path", ON(LOCKS)},
    {OPTION_DATABASE, OPTION_ONCE, "database", "CONNINFO",
     "connection string or URI (else LATCHKEY_DATABASE, else PG*, else embedded)", ON_DATABASE},
    {OPTION_DATA_DIR, OPTION_ONCE, "data-dir", "DIR", "directory of the embedded PostgreSQL",
     ON_DATABASE | ON(DB)},
    {OPTION_SCHEMA, OPTION_ONCE, "schema", "NAME",
     "latchkey's own schema (else LATCHKEY_SCHEMA, else latchkey)", ON_DATABASE | ON(KEY)},
    {OPTION_POOL, OPTION_ONCE, "pool", "N", "at most so many connections a process (default 12)",
     ON_DATABASE},
    {OPTION_BUSY_POLL, OPTION_ONCE, "busy-poll-us", "N",
     "microseconds to stay awake for an answer to an execution by itself (default 750)",
     ON(RUN) | ON(SERVE)},
    {OPTION_LOG, OPTION_ONCE, "log", "json|plain|auto",
     "form of log lines (else LATCHKEY_LOG, else auto: plain on a terminal)",
     ON_DATABASE & ~ON(DEMO)},
    {OPTION_JSON, OPTION_ONCE, "json", NULL, "print JSON", ON_ALL},
    {OPTION_QUIET, OPTION_ONCE, "quiet", NULL, "no words but errors", ON_ALL},
    {OPTION_HELP, OPTION_ONCE, "help", NULL, "show help", ON_ALL},
    {OPTION_VERSION, OPTION_ONCE, "version", NULL, "show the version", ON_ALL},
    {.name = NULL},
};

const struct command_row *command_find(const char *name)
{
    for (const struct command_row *row = commands; row->name; row++)
        if (strcmp(row->name, name) == 0)
            return row;
    return NULL;
}

const char *command_nearest(const char *written)
{
    struct spelling spelling = {0};
    for (const struct command_row *row = commands; row->name; row++)
        spelling_consider(&spelling, written, row->name);
    return spelling.nearest;
}

const struct command_option_row *command_find_option(const struct command_row *command,
                                                     const char *name, size_t length)
{
    const struct command_option_row *found = NULL;
    for (const struct command_option_row *row = command_options; row->name; row++) {
        if (strlen(row->name) != length || strncmp(row->name, name, length) != 0)
            continue;
        if (command && row->commands & 1u << command->id)
            return row;
        if (!found || row->commands == ON_ALL)
            found = row;
    }
    return found;
}

static bool is_shown(const struct command_option_row *row)
{
    return row->manner == OPTION_ONCE || row->manner == OPTION_REPEATABLE;
}

const char *command_nearest_option(const struct command_row *command, const char *written)
{
    struct spelling spelling = {0};
    for (const struct command_option_row *row = command_options; row->name; row++)
        if (is_shown(row) && (!command || row->commands & 1u << command->id))
            spelling_consider(&spelling, written, row->name);
    return spelling.nearest;
}

static void print_option(const struct command_option_row *row, FILE *out)
{
    char left[HELP_COLUMN + 16];
    snprintf(left, sizeof left, "--%s%s%s", row->name, row->argument ? " " : "",
             row->argument ? row->argument : "");
    fprintf(out, "  %-24s  %s\n", left, row->help);
}

bool command_takes_option(const struct command_row *command, const struct command_option_row *row)
{
    if (!is_shown(row) || !command)
        return is_shown(row) && row->commands == ON_ALL;
    return row->commands & 1u << command->id &&
           command_find_option(command, row->name, strlen(row->name)) == row;
}

static void print_options(const struct command_row *command, FILE *out)
{
    for (const struct command_option_row *row = command_options; row->name; row++)
        if (command_takes_option(command, row))
            print_option(row, out);
}

void command_print_help(const struct command_row *command, FILE *out)
{
    if (command) {
        fprintf(out, "latchkey %s [OPTION...]%s%s\n\n%s\n\nOptions:\n", command->name,
                *command->arguments ? " " : "", command->arguments, command->text);
        print_options(command, out);
        return;
    }
    fputs("latchkey COMMAND [OPTION...]\n\n"
          "Runs workflows whose activities may ask to be the only one at work.\n\nCommands:\n",
          out);
    for (const struct command_row *row = commands; row->name; row++) {
        char left[HELP_COLUMN + 16];
        snprintf(left, sizeof left, "%s %s", row->name, row->arguments);
        fprintf(out, "  %-24s  %s\n", left, row->summary);
    }
    fputs("\nOptions of every command:\n", out);
    print_options(NULL, out);
    fputs("\n`latchkey COMMAND --help` tells the options of a command.\n", out);
}

int command_fail(const struct fault *fault)
{
    fprintf(stderr, "latchkey: %s\n", fault->text);
    switch (fault->kind) {
    case FAULT_INVALID:
    case FAULT_SCRIPT: return EXIT_USAGE;
    case FAULT_MISSING: return EXIT_MISSING;
    case FAULT_UNKNOWN: return EXIT_UNKNOWN;
    case FAULT_NONE:
    case FAULT_CONFLICT:
    case FAULT_DATABASE:
    case FAULT_EXHAUSTED:
    case FAULT_CANCELLED: return 1;
    }
    return 1;
}

void command_say(const struct command_line *line, const char *format, ...)
{
    va_list args;
    if (command_line_has(line, OPTION_QUIET))
        return;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

void command_print_json(const json_t *value)
{
    char *text = value ? json_write(value) : NULL;
    if (text)
        puts(text);
    else
        fputs("latchkey: no memory for the answer\n", stderr);
    free(text);
}

int command_help(const struct command_line *line)
{
    if (line->n_arguments == 0) {
        command_print_help(NULL, stdout);
        return 0;
    }
    const struct command_row *command = command_find(line->arguments[0]);
    if (!command) {
        struct fault fault;
        command_line_unknown_command(line->arguments[0], &fault);
        return command_fail(&fault);
    }
    command_print_help(command, stdout);
    return 0;
}

/* A full disk or a closed pipe must not look like success. */
static int check_output(int exit_code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    perror("latchkey: standard output");
    return exit_code ? exit_code : 1;
}

static int run(const struct command_line *line)
{
    if (command_line_has(line, OPTION_VERSION)) {
        puts("latchkey " LATCHKEY_VERSION);
        return 0;
    }
    if (command_line_has(line, OPTION_HELP)) {
        command_print_help(line->command, stdout);
        return 0;
    }
    if (!line->command) {
        command_print_help(NULL, stderr);
        return EXIT_USAGE;
    }
    return line->command->run(line);
}

int command_main(int argc, char **argv)
{
    struct fault fault;
    struct command_line line;
    int exit_code;
    if (command_line_read(argc, argv, &line, &fault))
        exit_code = run(&line);
    else if (line.command && line.command->id == COMMAND_RUN)
        exit_code = command_run_refused(&line, &fault);
    else
        exit_code = command_fail(&fault);
    command_line_done(&line);
    return check_output(exit_code);
}
