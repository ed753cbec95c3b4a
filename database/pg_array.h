/*
 * PostgreSQL's text form of a one-dimensional array, '{1,"two words",NULL}', for one parameter that
 * carries many values: pg_array_begin, an add an element, pg_array_end, then text_ok.
 */
#pragma once
#include "text.h"

#include <stdint.h>

void pg_array_begin(struct text *text);
void pg_array_end(struct text *text);

/* element is the element type's text form, NULL = SQL null. It is quoted where it must be. */
void pg_array_add(struct text *text, const char *element);
void pg_array_add_int64(struct text *text, int64_t element);

/* For microseconds that are kept as milliseconds: 1234 -> 1.234. */
void pg_array_add_milli(struct text *text, int64_t thousandths);
