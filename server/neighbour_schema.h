/*
 * The file schema.sql beside a definition: the application's tables, for a first try. `run FILE`
 * loads it into the embedded PostgreSQL, and there only; a database of one's own is never touched.
 */
#pragma once
#include "session.h"

/* Loads it unless the same text was loaded from the same place into this database before. The text
 * may therefore run again when it has changed, and must bear that. *loaded tells whether it ran
 * now. A file that is not there is fine. Fails with FAULT_DATABASE, naming the file. Runs the loop,
 * blocking. */
MUST_CHECK bool neighbour_schema_load(struct session *session, const char *definition_file,
                                      bool *loaded, struct fault *fault);

/* "DIRECTORY/schema.sql" of a definition file. */
void neighbour_schema_path(const char *definition_file, struct text *out);
