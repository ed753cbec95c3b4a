/*
 * Manual pages in roff, made of the tables of commands and options: latchkey(1), and
 * latchkey-COMMAND(1) for each command.
 */
#pragma once
#include "command.h"

/* command NULL: the page of the program. */
void manual_write(const struct command_row *command, FILE *out);
