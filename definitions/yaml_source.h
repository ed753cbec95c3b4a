/*
 * The bytes of a definition file made fit for libyaml, and the way back to the writer's places.
 *
 * Checked here, since libyaml would have no place for it: size, UTF-8, control characters.
 * A file that begins with `{` is taken for JSON: its surrogate pairs in double quotes, which YAML
 * does not know, become YAML's `\U` escapes, which are two characters shorter.
 */
#pragma once
#include "problems.h"

#include <stdbool.h>
#include <stddef.h>

struct yaml_shift; /* a place where two characters are gone */

struct yaml_source {
    const char *bytes; /* for libyaml; the caller's or ours */
    size_t n_bytes;
    char *rewritten; /* NULL when the caller's bytes serve as they are */
    struct yaml_shift *shifts;
    int n_shifts;
};

/* bytes are lent until yaml_source_done. False, with a problem added, if the file is too large or
 * no text, or without memory; yaml_source_done is legal then. */
MUST_CHECK bool yaml_source_init(struct yaml_source *source, const char *bytes, size_t n_bytes,
                                 size_t limit_bytes, struct problems *problems);
void yaml_source_done(struct yaml_source *source);

/* The writer's column, from 1, of libyaml's line and column, both from 0. */
int yaml_source_column(const struct yaml_source *source, size_t line, size_t column);
