/*
 * Reads a workflow definition from YAML (or JSON) and checks it: every problem at once, each with
 * its place. What the file may say: docs/definitions.md.
 */
#pragma once
#include "definition.h"
#include "problems.h"

enum {
    DEFINITION_BYTES_MAX = 1 << 20,
    DEFINITION_DEPTH_MAX = 32,
    DEFINITION_NODES_MAX = 10000,
};

/* file names the source in messages and is copied, as is the source. sandbox compiles the Lua
 * pieces to find their errors, and is lent for the call. Problems are added to *problems, which is
 * sorted by place. Returns true, with *out yours to definition_free, if there was no error
 * (warnings may be); false otherwise (at least one error is in *problems). */
MUST_CHECK bool definition_read(struct sandbox *sandbox, const char *file, const char *source,
                                size_t source_bytes, struct definition **out,
                                struct problems *problems);
