/*
 * The grammar of JSON (RFC 8259), read into jansson's values. See json.h for what it refuses.
 */
#pragma once
#include "fault.h"

#include <jansson.h>
#include <stddef.h>

/* As json_read. */
MUST_CHECK bool json_reader_read(const char *what, const char *bytes, size_t n_bytes, json_t **out,
                                 struct fault *fault);
