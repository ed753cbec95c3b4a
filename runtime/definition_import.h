/*
 * What one reading of the definitions directory comes to: which files hold a new text, which are
 * broken, which are gone. Reads one file a call, so that the loop is not stopped for long.
 *
 *   begin --> step (until there is no more) --> write --> report, once that is committed
 */
#pragma once
#include "json.h"
#include "pg_pipeline.h"

struct definition_import;
struct sandbox;

/* sandbox is kept; directory and published_by are copied. */
MUST_CHECK bool definition_import_new(struct sandbox *sandbox, const char *directory,
                                      const char *published_by, struct definition_import **out,
                                      struct fault *fault);
void definition_import_free(struct definition_import *import);

/* Lists the directory: *.yaml, *.yml and *.json but hidden ones. heads is what SQL_DEFINITION_HEADS
 * answered, lent for the call. May be called again, for the next reading.
 * FAULT_INVALID if the directory cannot be read. */
MUST_CHECK bool definition_import_begin(struct definition_import *import, const PGresult *heads,
                                        struct fault *fault);

/* Reads the next file; *more tells whether there is another. A broken one is no fault. */
MUST_CHECK bool definition_import_step(struct definition_import *import, bool *more,
                                       struct fault *fault);

/* Adds what is new to the pipeline. A workflow that is in two files is in neither. */
MUST_CHECK bool definition_import_write(struct definition_import *import,
                                        struct pg_pipeline *pipeline, struct fault *fault);

/* Adds what was written to report["published"], and sets "files", "unchanged", "removed" and
 * "problems" to those of this reading. Without memory something is left out. */
void definition_import_report(const struct definition_import *import, json_t *report);
