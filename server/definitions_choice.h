/*
 * Which directory of definitions a command means: --definitions, else LATCHKEY_DEFINITIONS.
 */
#pragma once

struct command_line;

/* NULL if none was named. Borrowed. */
const char *definitions_choose(const struct command_line *line);
