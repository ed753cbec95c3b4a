#include "command_line.h"

#include "duration.h"
#include "uuid.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void command_line_unknown_command(const char *written, struct fault *fault)
{
    const char *nearest = command_nearest(written);
    if (nearest)
        fault_set(fault, FAULT_INVALID, "there is no command '%s'; did you mean '%s'?", written,
                  nearest);
    else
        fault_set(fault, FAULT_INVALID, "there is no command '%s'; see latchkey help", written);
}

static bool unknown_option(const struct command_line *line, const char *name, size_t length,
                           struct fault *fault)
{
    char written[64];
    snprintf(written, sizeof written, "%.*s", (int)(length < 60 ? length : 60), name);
    const char *nearest = command_nearest_option(line->command, written);
    const char *of = line->command ? line->command->name : "latchkey";
    if (nearest)
        return fault_set(fault, FAULT_INVALID, "%s has no option --%s; did you mean --%s?", of,
                         written, nearest);
    return fault_set(fault, FAULT_INVALID, "%s has no option --%s; see latchkey help", of, written);
}

static bool add_option(struct command_line *line, const struct command_option_row *row,
                       const char *value, struct fault *fault)
{
    if (row->manner != OPTION_REPEATABLE && command_line_has(line, row->option))
        return fault_set(fault, FAULT_INVALID, "--%s is given twice", row->name);
    line->given[line->n_given++] = (struct command_line_given){row->option, value};
    return true;
}

/* Reads the option at argv[*at], moving *at to its value if that is a word of its own. */
static bool read_option(struct command_line *line, int argc, char **argv, int *at,
                        struct fault *fault)
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const struct command_option_row *row = command_find_option(line->command, name, length);
    if (!row || (line->command && !(row->commands & 1u << line->command->id)))
        return unknown_option(line, name, length, fault);
    if (!row->argument && equals)
        return fault_set(fault, FAULT_INVALID, "--%s takes no value", row->name);
    if (!row->argument)
        return add_option(line, row, "", fault);
    if (equals)
        return add_option(line, row, equals + 1, fault);
    if (*at + 1 == argc)
        return fault_set(fault, FAULT_INVALID, "--%s needs a value: --%s %s", row->name, row->name,
                         row->argument);
    return add_option(line, row, argv[++*at], fault);
}

/* Options may stand before the command, so each is checked once more when the command is known. */
static bool check_options(const struct command_line *line, struct fault *fault)
{
    for (int i = 0; i < line->n_given; i++)
        for (const struct command_option_row *row = command_options; row->name; row++)
            if (row->option == line->given[i].option && !(row->commands & 1u << line->command->id))
                return unknown_option(line, row->name, strlen(row->name), fault);
    return true;
}

static bool check_arguments(const struct command_line *line, struct fault *fault)
{
    const struct command_row *command = line->command;
    if (command_line_has(line, OPTION_HELP) || command_line_has(line, OPTION_VERSION))
        return true;
    if (line->n_arguments < command->least_arguments)
        return fault_set(fault, FAULT_INVALID, "%s needs %s: latchkey %s [OPTION...] %s",
                         command->name, command->least_arguments == 1 ? "an argument" : "arguments",
                         command->name, command->arguments);
    if (command->most_arguments >= 0 && line->n_arguments > command->most_arguments)
        return fault_set(fault, FAULT_INVALID, "%s does not take '%s': latchkey %s [OPTION...] %s",
                         command->name, line->arguments[command->most_arguments], command->name,
                         command->arguments);
    return true;
}

static bool read_word(struct command_line *line, const char *word, struct fault *fault)
{
    if (line->command) {
        line->arguments[line->n_arguments++] = word;
        return true;
    }
    line->command = command_find(word);
    if (!line->command)
        command_line_unknown_command(word, fault);
    return line->command != NULL;
}

/* Whoever asked for JSON anywhere gets the failure as JSON. */
static void note_json(struct command_line *line, int argc, char **argv, int from)
{
    for (int i = from; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0 && !command_line_has(line, OPTION_JSON))
            line->given[line->n_given++] = (struct command_line_given){OPTION_JSON, ""};
}

bool command_line_read(int argc, char **argv, struct command_line *line, struct fault *fault)
{
    *line = (struct command_line){
        .given = calloc((size_t)argc + 1, sizeof *line->given),
        .arguments = calloc((size_t)argc + 1, sizeof *line->arguments),
        .n_plain = -1,
    };
    if (!line->given || !line->arguments)
        return fault_no_memory(fault);
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        bool ok = true;
        if (line->n_plain >= 0 || word[0] != '-' || !word[1])
            ok = read_word(line, word, fault);
        else if (strcmp(word, "--") == 0)
            line->n_plain = line->n_arguments;
        else if (strcmp(word, "-h") == 0)
            ok = add_option(line, command_find_option(NULL, "help", 4), "", fault);
        else if (word[1] == '-')
            ok = read_option(line, argc, argv, &i, fault);
        else
            ok = fault_set(fault, FAULT_INVALID, "there is no option %s; options begin with --",
                           word);
        if (!ok) {
            note_json(line, argc, argv, i + 1);
            return false;
        }
    }
    if (line->n_plain < 0)
        line->n_plain = line->n_arguments;
    return !line->command || (check_options(line, fault) && check_arguments(line, fault));
}

void command_line_done(struct command_line *line)
{
    free(line->given);
    free(line->arguments);
    *line = (struct command_line){0};
}

bool command_line_has(const struct command_line *line, enum command_option option)
{
    return command_line_value(line, option) != NULL;
}

const char *command_line_value(const struct command_line *line, enum command_option option)
{
    for (int i = 0; i < line->n_given; i++)
        if (line->given[i].option == option)
            return line->given[i].value;
    return NULL;
}

bool command_line_read_integer(const char *text, int64_t *out)
{
    char *end;
    const char *digits = text + (*text == '-');
    if (*digits < '0' || *digits > '9')
        return false;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end)
        return false;
    *out = value;
    return true;
}

bool command_line_duration(const struct command_line *line, enum command_option option,
                           int64_t least_ms, int64_t most_ms, int64_t *out_us, struct fault *fault)
{
    const char *text = command_line_value(line, option);
    const struct command_option_row *row = command_options;
    char least[32], most[32];
    int64_t ms;
    if (!text)
        return true;
    while (row->option != option)
        row++;
    if (duration_read(text, &ms) != DURATION_FINE || ms < least_ms || ms > most_ms) {
        duration_write(least_ms, least, sizeof least);
        duration_write(most_ms, most, sizeof most);
        return fault_set(fault, FAULT_INVALID, "--%s wants a duration from %s to %s, not '%s'",
                         row->name, least, most, text);
    }
    *out_us = ms * 1000;
    return true;
}

bool command_line_integer(const struct command_line *line, enum command_option option,
                          int64_t least, int64_t most, int64_t *out, struct fault *fault)
{
    const char *text = command_line_value(line, option);
    const struct command_option_row *row = command_options;
    int64_t value;
    if (!text)
        return true;
    while (row->option != option)
        row++;
    if (!command_line_read_integer(text, &value) || value < least || value > most)
        return fault_set(fault, FAULT_INVALID,
                         "--%s wants a whole number from %lld to %lld, not '%s'", row->name,
                         (long long)least, (long long)most, text);
    *out = value;
    return true;
}

bool command_line_uuid(const struct command_line *line, enum command_option option,
                       struct fault *fault)
{
    const char *text = command_line_value(line, option);
    const struct command_option_row *row = command_options;
    if (!text || uuid_is_text(text))
        return true;
    while (row->option != option)
        row++;
    return fault_set(fault, FAULT_INVALID, "--%s wants an id, which is a UUID, not '%.60s'",
                     row->name, text);
}
