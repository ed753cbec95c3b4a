/*
 * The cheap look at a table, for where time counts: it describes ordinary tables alone, from what
 * PostgreSQL's catalogue has of them. Pure: one JSON document made of another.
 */
#pragma once
#include "fault.h"

#include <jansson.h>

/* Makes the answer of sql/catalogue_glance.sql, in place, what sql/catalogue_table.sql would have
 * said, without "loose", which matters to no index here. *is_ordinary false: it is not for this
 * look to describe the table, and the document is of no use. Ordinary is a table without trigger,
 * rule, parent, child or partition, whose columns are of types known here, whose unique indexes
 * have the collations of its columns, and whose indexes and constraints compute nothing but CHECKs.
 * Fails for want of memory only. */
MUST_CHECK bool catalogue_glance_complete(json_t *document, bool *is_ordinary, struct fault *fault);
