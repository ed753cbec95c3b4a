/*
 * Published definitions in the database: versions that are never edited in place, their triggers,
 * and the notice of a change. Statements for a pipeline, and how their answers are read.
 */
#pragma once
#include "definition.h"
#include "pg_pipeline.h"

struct stored_definition {
    int version; /* 0 = none published */
    char checksum[CHECKSUM_TEXT_BYTES];
    char *source; /* yours to free; NULL if none */
};

/* Adds the reading of a version, 0 = the latest; returns the statement's index. */
int definition_store_add_read(struct pg_pipeline *pipeline, const char *name, int version);

/* Reads its answer; version 0 = no such version. */
MUST_CHECK bool definition_store_read(const PGresult *result, struct stored_definition *out,
                                      struct fault *fault);

/* Add statements for a transaction that holds $definitions/NAME. A new version comes with its
 * triggers and the notice, which is sent when it commits. Triggers alone take the place of those
 * before; a period that stays keeps its next time. */
MUST_CHECK bool definition_store_add_version(struct pg_pipeline *pipeline,
                                             const struct definition *definition, int version,
                                             const char *published_by, struct fault *fault);
MUST_CHECK bool definition_store_add_triggers(struct pg_pipeline *pipeline,
                                              const struct definition *definition, int version,
                                              struct fault *fault);
void definition_store_add_notice(struct pg_pipeline *pipeline, const char *name, int version);
