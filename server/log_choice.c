#include "log_choice.h"

#include "command_line.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VARIABLE "LATCHKEY_LOG"

static const char *chosen(const struct command_line *line)
{
    const char *form = command_line_value(line, OPTION_LOG);
    if (!form)
        form = getenv(VARIABLE);
    return form && *form ? form : "auto";
}

bool log_choose(const struct command_line *line, struct log *out, struct fault *fault)
{
    const char *form = chosen(line);
    bool is_json = strcmp(form, "json") == 0, is_plain = strcmp(form, "plain") == 0;
    if (!is_json && !is_plain && strcmp(form, "auto") != 0)
        return fault_set(fault, FAULT_INVALID, "%s wants json, plain or auto, not '%.60s'",
                         command_line_has(line, OPTION_LOG) ? "--log" : VARIABLE, form);
    *out = (struct log){
        .stream = stderr,
        .least = command_line_has(line, OPTION_QUIET) ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO,
        .form = is_json || (!is_plain && !isatty(STDERR_FILENO)) ? LOG_FORM_JSON : LOG_FORM_PLAIN,
    };
    return true;
}
