/*
 * What went wrong with a request, as problem+json (RFC 9457): type, title, status, detail and,
 * where places are known, errors[] with pointer (RFC 6901, into the body), line, column and detail.
 */
#pragma once
#include "json.h"

/* The words for a status: "Not Found". */
const char *http_problem_title(int status);

/* A new object; NULL without memory. kind ends the type; NULL = that of the status. */
json_t *http_problem_new(int status, const char *kind, const char *detail);

/* Adds to errors[]. line and column 0 = not known. Nothing happens without memory. */
void http_problem_add(json_t *problem, const char *pointer, int line, int column,
                      const char *detail);
