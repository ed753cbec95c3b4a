/*
 * A definition file for a command, with its problems told on stderr.
 */
#pragma once
#include "definition_file.h"

/* Reads and checks a file. Warnings are not printed when quiet. *out is yours to definition_free.
 * Fails as definition_file_read does, and has told it. */
MUST_CHECK bool definition_open(struct sandbox *sandbox, const char *file, bool quiet,
                                struct definition **out, struct fault *fault);

/* Prints the problems, one a line; for a file that could not be read (failed, without any) the
 * fault itself. */
void definition_open_print(const char *file, const struct problems *problems,
                           const struct fault *fault, bool failed);
