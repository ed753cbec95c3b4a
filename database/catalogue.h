/*
 * What PostgreSQL's catalogue says of application tables: columns, keys, and whether changes of
 * several executions may be merged into one UPDATE. Looked up when first needed, cached by name.
 */
#pragma once
#include "pg_conn.h"

#include <stdint.h>

struct catalogue;

/* How a column's text form maps to a Lua value. */
enum column_kind {
    COLUMN_INT2,
    COLUMN_INT4,
    COLUMN_INT8,
    COLUMN_FLOAT4,
    COLUMN_FLOAT8,
    COLUMN_BOOLEAN,
    COLUMN_TEXT,      /* text, varchar, char, name, uuid, enums, citext: a string */
    COLUMN_NUMERIC,   /* a number where no digit is lost, otherwise an exact string */
    COLUMN_JSON,      /* json, jsonb: a table */
    COLUMN_TIMESTAMP, /* timestamp, timestamptz, date, time: an ISO 8601 string */
    COLUMN_OTHER,     /* everything else: its text form, a string */
};

struct column {
    const char *name;
    const char *quoted;     /* by libpq's rules, ready for SQL */
    const char *type_name;  /* format_type: "integer", "character varying(20)": ready for a cast */
    const char *plain_type; /* the same without limits and below domains: to cast values to, since a
                               cast to varchar(20) cuts where an assignment refuses */
    enum column_kind kind;
    bool not_null;
    bool generated; /* always computed, or an identity always drawn: may not be assigned */
    bool mergeable; /* in no constraint, no unique index and no expression of an index, of type
                       int2/4/8, float8, boolean or (in no index at all) text without limit, and
                       the table allows it. It may be NOT NULL: whoever merges checks for that. */
};

struct table {
    const char *name;   /* as asked for */
    const char *quoted; /* "schema"."table", ready for SQL */
    uint32_t oid;
    struct column *columns;
    int n_columns;
    int *primary_key; /* indexes into columns; the columns that identify a row: the primary key or,
                         without it, the first unique key that is all NOT NULL. NULL if none */
    int n_primary_key;
    int **unique_keys; /* each -1 ended: total unique indexes, not partial, not on expressions, not
                          stricter than the = of their columns */
    int n_unique_keys;
    bool mergeable;     /* an ordinary table without trigger, rule, row security, partition, child,
                           generated column, or constraint or index that looks at whole rows */
    bool writes_spread; /* a view, a foreign table, trigger, rule, generated column, partition,
                           inheritance, or a cascading foreign key refers to it: writing it may
                           change what others loaded */
    bool reads_spread;  /* a policy of its row security looks at more than the row: writing any
                           table may change which rows are found */
};

MUST_CHECK bool catalogue_new(struct catalogue **out, struct fault *fault);
void catalogue_free(struct catalogue *catalogue);

/* The cached description, or NULL if not looked up yet. Borrowed; it stays valid until
 * catalogue_free even after catalogue_forget. */
const struct table *catalogue_find(const struct catalogue *catalogue, const char *name);

/* Adds the look-up of one table to a pipeline (one statement; its index is returned). name is
 * "table" or "schema.table", resolved by the search_path, folded as SQL would fold it unless
 * quoted; a text that is no name finds no table. System and latchkey's own schemas are refused when
 * the answer is read. The statement itself fails only where the user may not use the schema. */
int catalogue_ask(struct pg_pipeline *pipeline, const char *name);

/* Reads the answer of catalogue_ask and caches it, in place of an older description. Views and
 * foreign tables are allowed, but not mergeable. Fails with FAULT_INVALID: no such table, no table
 * at all, a temporary one, a refused schema ("pg_catalog", own_schema). */
MUST_CHECK bool catalogue_learn(struct catalogue *catalogue, const char *name,
                                const char *own_schema, const PGresult *result,
                                const struct table **out, struct fault *fault);

/* The same look, cheaper in a new session and for ordinary tables alone (catalogue_glance.h). Of
 * any other *out is NULL, which is no failure: catalogue_ask tells. A text that is no name makes
 * the statement fail. */
int catalogue_ask_glance(struct pg_pipeline *pipeline, const char *name);
MUST_CHECK bool catalogue_learn_glance(struct catalogue *catalogue, const char *name,
                                       const char *own_schema, const PGresult *result,
                                       const struct table **out, struct fault *fault);

/* Forgets all descriptions, after an error that says the schema changed. */
void catalogue_forget(struct catalogue *catalogue);

/* NULL if the table has no such column. */
const struct column *table_column(const struct table *table, const char *name);

/* True if the given columns contain every column of some unique key. */
bool table_is_key(const struct table *table, const int *columns, int n_columns);
