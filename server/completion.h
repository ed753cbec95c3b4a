/*
 * What shells complete on a command line of latchkey, made of the tables of commands and options.
 */
#pragma once
#include <stdio.h>

void completion_write_bash(FILE *out);
void completion_write_zsh(FILE *out);
