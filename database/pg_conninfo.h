/* libpq's connection strings, written as keyword='value' with a blank between two. */
#pragma once
#include "text.h"

/* value is quoted so that it may be any. */
void pg_conninfo_add(struct text *out, const char *keyword, const char *value);

/* Adds the connection string, which may also be a URI, with one keyword set to another value.
 * FAULT_INVALID if libpq cannot read it. */
MUST_CHECK bool pg_conninfo_with(const char *conninfo, const char *keyword, const char *value,
                                 struct text *out, struct fault *fault);
