#include "completion.h"

#include "command.h"

#include <string.h>

enum argument_kind {
    ARGUMENT_NONE, /* nothing to offer */
    ARGUMENT_FILE,
    ARGUMENT_DIRECTORY,
    ARGUMENT_COMMAND,
    ARGUMENT_WORDS, /* start|stop */
};

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static enum argument_kind kind_of(const char *argument)
{
    if (!argument || !*argument)
        return ARGUMENT_NONE;
    if (begins_with(argument, "FILE"))
        return ARGUMENT_FILE;
    if (strcmp(argument, "DIR") == 0)
        return ARGUMENT_DIRECTORY;
    if (strcmp(argument, "[COMMAND]") == 0)
        return ARGUMENT_COMMAND;
    if (strchr(argument, '|') && argument[0] >= 'a' && argument[0] <= 'z')
        return ARGUMENT_WORDS;
    return ARGUMENT_NONE;
}

static void put_words(const char *words, FILE *out)
{
    for (; *words; words++)
        fputc(*words == '|' ? ' ' : *words, out);
}

static void put_commands(FILE *out)
{
    for (const struct command_row *row = commands; row->name; row++)
        fprintf(out, "%s%s", row == commands ? "" : " ", row->name);
}

/* ---- bash ---- */

static void put_bash_options(const struct command_row *command, FILE *out)
{
    const char *before = "";
    for (const struct command_option_row *row = command_options; row->name; row++) {
        if (!command_takes_option(command, row))
            continue;
        fprintf(out, "%s--%s", before, row->name);
        before = " ";
    }
}

/* The arm of a `case` on the word before: what an option's argument may be. */
static void put_bash_arms(const struct command_row *command, FILE *out)
{
    for (const struct command_option_row *row = command_options; row->name; row++) {
        if (!row->argument || !command_takes_option(command, row))
            continue;
        fprintf(out, "        %s:--%s) ", command->name, row->name);
        switch (kind_of(row->argument)) {
        case ARGUMENT_FILE: fputs("COMPREPLY=($(compgen -f -- \"$word\")); ", out); break;
        case ARGUMENT_DIRECTORY: fputs("COMPREPLY=($(compgen -d -- \"$word\")); ", out); break;
        case ARGUMENT_NONE:
        case ARGUMENT_COMMAND:
        case ARGUMENT_WORDS: break;
        }
        fputs("return ;;\n", out);
    }
}

static void put_bash_command(const struct command_row *command, FILE *out)
{
    fprintf(out, "        %s)\n            options='", command->name);
    put_bash_options(command, out);
    fputs("'\n", out);
    switch (kind_of(command->arguments)) {
    case ARGUMENT_FILE: fputs("            files=yes\n", out); break;
    case ARGUMENT_COMMAND: fputs("            words=\"$commands\"\n", out); break;
    case ARGUMENT_WORDS:
        fputs("            words='", out);
        put_words(command->arguments, out);
        fputs("'\n", out);
        break;
    case ARGUMENT_NONE:
    case ARGUMENT_DIRECTORY: break;
    }
    fputs("            ;;\n", out);
}

void completion_write_bash(FILE *out)
{
    fputs("# bash completion for latchkey\n"
          "_latchkey() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    local command=${COMP_WORDS[1]} commands options= words= files=\n"
          "    commands='",
          out);
    put_commands(out);
    fputs("'\n"
          "    COMPREPLY=()\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "        COMPREPLY=($(compgen -W \"$commands ",
          out);
    put_bash_options(NULL, out);
    fputs("\" -- \"$word\"))\n"
          "        return\n"
          "    fi\n"
          "    case $command:$before in\n",
          out);
    for (const struct command_row *row = commands; row->name; row++)
        put_bash_arms(row, out);
    fputs("    esac\n    case $command in\n", out);
    for (const struct command_row *row = commands; row->name; row++)
        put_bash_command(row, out);
    fputs("    esac\n"
          "    case $word in\n"
          "        -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
          "        *)\n"
          "            [ -z \"$words\" ] || COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
          "            [ -z \"$files\" ] || COMPREPLY=($(compgen -f -- \"$word\"))\n"
          "            ;;\n"
          "    esac\n"
          "}\n"
          "complete -o filenames -F _latchkey latchkey\n",
          out);
}

/* ---- zsh ---- */

/* Inside single quotes; brackets and colons mean something to _arguments. */
static void put_zsh(const char *text, FILE *out)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\'", out);
        else if (strchr("[]:\\", *text))
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void put_zsh_action(const char *argument, FILE *out)
{
    switch (kind_of(argument)) {
    case ARGUMENT_FILE: fputs("_files", out); break;
    case ARGUMENT_DIRECTORY: fputs("_files -/", out); break;
    case ARGUMENT_COMMAND:
        fputc('(', out);
        put_commands(out);
        fputc(')', out);
        break;
    case ARGUMENT_WORDS:
        fputc('(', out);
        put_words(argument, out);
        fputc(')', out);
        break;
    case ARGUMENT_NONE: fputc(' ', out); break;
    }
}

static void put_zsh_options(const struct command_row *command, FILE *out)
{
    for (const struct command_option_row *row = command_options; row->name; row++) {
        if (!command_takes_option(command, row))
            continue;
        fprintf(out, " \\\n                '%s--%s[", row->manner == OPTION_REPEATABLE ? "*" : "",
                row->name);
        put_zsh(row->help, out);
        fputc(']', out);
        if (row->argument) {
            fputc(':', out);
            put_zsh(row->argument, out);
            fputc(':', out);
            put_zsh_action(row->argument, out);
        }
        fputc('\'', out);
    }
}

void completion_write_zsh(FILE *out)
{
    fputs("#compdef latchkey\n"
          "_latchkey() {\n"
          "    local -a commands\n"
          "    commands=(\n",
          out);
    for (const struct command_row *row = commands; row->name; row++) {
        fprintf(out, "        '%s:", row->name);
        put_zsh(row->summary, out);
        fputs("'\n", out);
    }
    fputs("    )\n"
          "    if (( CURRENT == 2 )); then\n"
          "        _describe -t commands 'latchkey command' commands\n"
          "        return\n"
          "    fi\n"
          "    local command=$words[2]\n"
          "    shift words\n"
          "    (( CURRENT-- ))\n"
          "    case $command in\n",
          out);
    for (const struct command_row *row = commands; row->name; row++) {
        fprintf(out, "        %s)\n            _arguments", row->name);
        put_zsh_options(row, out);
        fputs(" \\\n                '*:", out);
        put_zsh(*row->arguments ? row->arguments : "nothing", out);
        fputc(':', out);
        put_zsh_action(row->arguments, out);
        fputs("'\n            ;;\n", out);
    }
    fputs("    esac\n}\n_latchkey \"$@\"\n", out);
}
