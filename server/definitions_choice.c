#include "definitions_choice.h"

#include "command_line.h"

#include <stdlib.h>

const char *definitions_choose(const struct command_line *line)
{
    const char *directory = command_line_value(line, OPTION_DEFINITIONS);
    if (!directory)
        directory = getenv("LATCHKEY_DEFINITIONS");
    return directory && *directory ? directory : NULL;
}
