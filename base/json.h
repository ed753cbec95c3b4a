/*
 * JSON by jansson, under our limits: strict UTF-8, no duplicate keys, integers apart from reals,
 * at most JSON_DEPTH_MAX deep. Values are jansson's json_t; ownership follows its rules.
 */
#pragma once
#include "fault.h"

#include <jansson.h>
#include <stddef.h>

enum {
    JSON_DEPTH_MAX = 64,
};

/* Reads one value of any type. *out is yours to json_decref.
 * Fails with FAULT_INVALID and "line L, column C: reason"; what names the text in it. Or with
 * FAULT_EXHAUSTED. */
MUST_CHECK bool json_read(const char *what, const char *bytes, size_t n_bytes, json_t **out,
                          struct fault *fault);

/* True if some string or key in it holds U+0000, which PostgreSQL cannot store. */
bool json_has_zero(const json_t *value);

/* One line, keys in insertion order. Yours to free; NULL without memory. */
char *json_write(const json_t *value);
