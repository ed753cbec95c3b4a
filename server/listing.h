/*
 * What commands that list have in common: one query whose first value is a JSON array, and columns
 * of text made from its rows.
 */
#pragma once
#include "session.h"

#include <libpq-fe.h>

enum {
    LISTING_LIMIT_DEFAULT = 100,
    LISTING_LIMIT_MAX = 100 * 1000,
};

/* Runs the query; *out is the array of its first value, yours. rows: the result, yours to PQclear;
 * NULL = not wanted. Runs the loop. */
MUST_CHECK bool listing_read(struct session *session, const char *query, int n_params,
                             const char *const *params, json_t **out, PGresult **rows,
                             struct fault *fault);

/* A member of a row for people; "" if it is null. Borrowed. */
const char *listing_text(const json_t *row, const char *key);
