/*
 * A definition file on disk, read and checked, with its problems told on stderr.
 */
#pragma once
#include "definition_read.h"

/* Reads and checks a file. problems, initialised by the caller, gets what was found in it. *out is
 * yours to definition_free. Fails with FAULT_INVALID: a file that cannot be read, or the first
 * error in it with its place. */
MUST_CHECK bool definition_file_read(struct sandbox *sandbox, const char *file,
                                     struct definition **out, struct problems *problems,
                                     struct fault *fault);

/* Prints the problems, one a line; for a file that could not be read (failed, without any) the
 * fault itself. */
void definition_file_print(const char *file, const struct problems *problems,
                           const struct fault *fault, bool failed);

/* Both at once, for commands that need the definition. Warnings are not printed when quiet. */
MUST_CHECK bool definition_file_open(struct sandbox *sandbox, const char *file, bool quiet,
                                     struct definition **out, struct fault *fault);
