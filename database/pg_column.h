/*
 * One column of a statement that writes several rows: an array parameter that unnest makes rows of.
 * Mostly all rows have the same workflow, status and so on; PostgreSQL pays for every element, so
 * what all have in common is told once, and SQL takes it from there: where a column may be told
 * once (PG_COLUMN_COMMON), it says coalesce(v.name, ($1::type[])[1]).
 */
#pragma once
#include "text.h"

#include <stdint.h>

enum pg_column_kind {
    PG_COLUMN_EACH,     /* an element a row */
    PG_COLUMN_COMMON,   /* never null; one element if all rows have the same */
    PG_COLUMN_NULLABLE, /* no element if all rows have null: unnest makes nulls of what is missing
                         */
};

struct pg_column {
    enum pg_column_kind kind;
    struct text array;
    struct text first; /* its value, while all are the same */
    int n_same;        /* rows that are not in the array yet, all like the first */
};

void pg_column_init(struct pg_column *column, enum pg_column_kind kind, size_t limit_bytes);
void pg_column_done(struct pg_column *column);

/* value is the type's text form, NULL = SQL null. */
void pg_column_add(struct pg_column *column, const char *value);
void pg_column_add_int64(struct pg_column *column, int64_t value);

/* For microseconds that are kept as milliseconds: 1234 -> 1.234. */
void pg_column_add_milli(struct pg_column *column, int64_t thousandths);

/* The parameter, borrowed until pg_column_done; no more values may be added. Memory that ran out is
 * told by pg_column_failed. */
const char *pg_column_end(struct pg_column *column);
bool pg_column_failed(const struct pg_column *column);
