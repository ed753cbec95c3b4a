/*
 * A definition file on disk, read and checked.
 */
#pragma once
#include "definition_read.h"

/* problems, initialised by the caller, gets what was found in it. *out is yours to definition_free.
 * Fails with FAULT_INVALID: a file that cannot be read, or the first error in it with its place. */
MUST_CHECK bool definition_file_read(struct sandbox *sandbox, const char *file,
                                     struct definition **out, struct problems *problems,
                                     struct fault *fault);

/* The first error among problems, with its place. */
void definition_file_first_error(const char *file, const struct problems *problems,
                                 struct fault *fault);
