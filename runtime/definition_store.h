/*
 * Published definitions in the database: versions that are never edited in place.
 * Both functions run the loop; the connection is idle before and after.
 */
#pragma once
#include "definition.h"
#include "pg_conn.h"

struct event_base;

struct stored_definition {
    int version; /* 0 = none published */
    char checksum[CHECKSUM_TEXT_BYTES];
    char *source; /* yours to free; NULL if none */
};

/* Reads what SQL_DEFINITION_READ answered; version 0 = no such version. */
MUST_CHECK bool definition_store_read(const PGresult *result, struct stored_definition *out,
                                      struct fault *fault);

/* The latest version. */
MUST_CHECK bool definition_store_latest(struct event_base *base, struct pg_conn *conn,
                                        const char *name, struct stored_definition *out,
                                        struct fault *fault);

/* Adds a version unless the latest has the same checksum. Takes $definitions/NAME, waiting up to 30
 * s, and looks again under it. base_version -1 = any; otherwise FAULT_CONFLICT if it is not the
 * latest. *version is the one that now has this text; *published tells whether it was added. */
MUST_CHECK bool definition_store_publish(struct event_base *base, struct pg_conn *conn,
                                         const char *schema, const struct definition *definition,
                                         int base_version, const char *published_by, int *version,
                                         bool *published, struct fault *fault);
