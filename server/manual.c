#include "manual.h"

#include "execution_status.h"

#include <ctype.h>
#include <string.h>

/* A hyphen is a minus, so that it can be copied; a dot or an apostrophe at the beginning of a line
 * would be a request. */
static void put(const char *text, size_t n_bytes, FILE *out)
{
    for (size_t i = 0; i < n_bytes; i++) {
        if (i == 0 && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (text[i] == '\\')
            fputs("\\e", out);
        else if (text[i] == '-')
            fputs("\\-", out);
        else
            fputc(text[i], out);
    }
}

static void put_chars(const char *text, FILE *out)
{
    put(text, strlen(text), out);
}

static void put_upper(const char *text, FILE *out)
{
    for (; *text; text++)
        fputc(toupper((unsigned char)*text), out);
}

/* "start    starts it" is a word and what it does; all other lines are filled. */
static void put_line(const char *line, size_t n_bytes, FILE *out)
{
    size_t word = strcspn(line, " ");
    if (word + 1 < n_bytes && line[word + 1] == ' ') {
        fputs(".TP\n.B ", out);
        put(line, word, out);
        fputc('\n', out);
        while (word < n_bytes && line[word] == ' ')
            word++;
        line += word;
        n_bytes -= word;
    }
    put(line, n_bytes, out);
    fputc('\n', out);
}

static void put_text(const char *text, FILE *out)
{
    while (*text) {
        size_t n_bytes = strcspn(text, "\n");
        put_line(text, n_bytes, out);
        text += n_bytes;
        text += *text == '\n';
    }
}

static void put_options(const struct command_row *command, FILE *out)
{
    for (const struct command_option_row *row = command_options; row->name; row++) {
        if (!command_takes_option(command, row))
            continue;
        fputs(".TP\n\\fB\\-\\-", out);
        put_chars(row->name, out);
        fputs("\\fR", out);
        if (row->argument) {
            fputs(" \\fI", out);
            put_chars(row->argument, out);
            fputs("\\fR", out);
        }
        fputc('\n', out);
        put_chars(row->help, out);
        fputc('\n', out);
    }
}

static void put_head(const struct command_row *command, const char *summary, FILE *out)
{
    fputs(".TH LATCHKEY", out);
    if (command) {
        fputs("\\-", out);
        put_upper(command->name, out);
    }
    fprintf(out, " 1 \"\" \"latchkey %s\" \"latchkey manual\"\n.SH NAME\nlatchkey",
            LATCHKEY_VERSION);
    if (command) {
        fputs("\\-", out);
        put_chars(command->name, out);
    }
    fputs(" \\- ", out);
    put_chars(summary, out);
    fputs("\n.SH SYNOPSIS\n.B latchkey\n", out);
}

static void put_command(const struct command_row *command, FILE *out)
{
    put_head(command, command->summary, out);
    fputs(".B ", out);
    put_chars(command->name, out);
    fputs("\n[\\fIOPTION\\fR...]\n", out);
    put_chars(command->arguments, out);
    fputs("\n.SH DESCRIPTION\n", out);
    put_text(command->text, out);
    fputs(".SH OPTIONS\n", out);
    put_options(command, out);
    fputs(".SH SEE ALSO\n.BR latchkey (1)\n", out);
}

static void put_program(FILE *out)
{
    put_head(NULL, "workflows whose activities may ask to be the only one at work", out);
    fputs(".I COMMAND\n[\\fIOPTION\\fR...]\n.SH COMMANDS\n", out);
    for (const struct command_row *row = commands; row->name; row++) {
        fputs(".TP\n\\fB", out);
        put_chars(row->name, out);
        fputs("\\fR ", out);
        put_chars(row->arguments, out);
        fputc('\n', out);
        put_chars(row->summary, out);
        fputs("; see\n.BR latchkey\\-", out);
        put_chars(row->name, out);
        fputs(" (1)\n", out);
    }
    fputs(".SH OPTIONS OF EVERY COMMAND\n", out);
    put_options(NULL, out);
    fputs(".SH EXIT STATUS\nOf a command that runs a workflow:\n", out);
    for (int i = 0; i < STATUS_COUNT; i++) {
        const struct execution_status_row *row = execution_status_row((enum execution_status)i);
        fprintf(out, ".TP\n.B %d %s\n", row->exit_code, row->name);
        put_chars(row->meaning, out);
        fputc('\n', out);
    }
    fputs(".SH ENVIRONMENT\n"
          ".TP\n.B LATCHKEY_DATABASE\nas \\fB\\-\\-database\\fR\n"
          ".TP\n.B LATCHKEY_SCHEMA\nas \\fB\\-\\-schema\\fR\n"
          ".TP\n.B LATCHKEY_DEFINITIONS\nas \\fB\\-\\-definitions\\fR\n"
          ".TP\n.B LATCHKEY_LOG\nas \\fB\\-\\-log\\fR\n"
          ".TP\n.B LATCHKEY_PG_BIN\ndirectory of the embedded PostgreSQL's server programs\n"
          ".TP\n.BR PGHOST , \" PGDATABASE\" \" and so on\"\nas in\n.BR psql (1)\n",
          out);
}

void manual_write(const struct command_row *command, FILE *out)
{
    if (command)
        put_command(command, out);
    else
        put_program(out);
}
