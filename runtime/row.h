/*
 * Rows of application tables in memory: typed cells, what has changed, and copies that a member of
 * a batch works on until its script has ended well. No Lua here (row_lua.h), no SQL (batch_save.h).
 *
 * All memory comes from the region given; nothing is freed piece by piece.
 */
#pragma once
#include "catalogue.h"
#include "region.h"

#include <stdint.h>

enum cell_kind {
    CELL_NULL,
    CELL_INTEGER, /* int2/4/8 columns */
    CELL_NUMBER,  /* float4/8 columns */
    CELL_BOOLEAN,
    CELL_TEXT, /* every other column: PostgreSQL's text form */
};

struct cell {
    enum cell_kind kind;
    union {
        int64_t integer;
        double number;
        bool boolean;
        struct {
            const char *bytes; /* NUL-terminated as well */
            size_t n_bytes;
        } text;
    };
};

enum row_state {
    ROW_FOUND,   /* stands in the table */
    ROW_ABSENT,  /* was looked for, is not there */
    ROW_DELETED, /* deleted by this transaction */
};

/* A row as a transaction sees it after the members that have run so far. */
struct row {
    const struct table *table;
    enum row_state state;
    struct cell *cells; /* table->n_columns */
    char xmin[24];      /* version as loaded; "" for a row that this transaction wrote itself */
};

/* What one member did to one row: its own copy of the cells, and which columns it assigned. */
struct row_change {
    struct row *row;
    struct cell *cells; /* all columns; NULL until the first assignment */
    uint64_t *assigned; /* bit set of columns */
};

enum {
    ROW_COLUMNS_MAX = 1600, /* PostgreSQL's own limit */
};

/* From PostgreSQL's text form (NULL = null; NUL-terminated after n_bytes, as libpq gives it) to a
 * cell of the column's kind. Text is copied into the region. False with FAULT_EXHAUSTED without
 * memory, FAULT_DATABASE for an unreadable number or boolean. */
MUST_CHECK bool cell_read(struct region *region, const struct column *column, const char *text,
                          size_t n_bytes, struct cell *out, struct fault *fault);

/* A text cell with a copy of the bytes, which need no NUL. False with FAULT_EXHAUSTED. */
MUST_CHECK bool cell_text(struct region *region, const char *bytes, size_t n_bytes,
                          struct cell *out, struct fault *fault);

/* PostgreSQL's text form; NULL for null. buffer is used for numbers; the result is borrowed from it
 * or from the cell. Floats are written so that they read back the same. */
enum {
    CELL_BUFFER_BYTES = 40,
};
const char *cell_write(const struct cell *cell, char buffer[CELL_BUFFER_BYTES]);

/* Byte for byte for text: "1.0" and "1.00" differ. A NaN is equal to a NaN, 0.0 is not to -0.0. */
bool cell_equal(const struct cell *a, const struct cell *b);

bool row_change_assigned(const struct row_change *change, int column);
bool row_change_any(
    const struct row_change *change); /* some assigned cell differs from the row's */

/* The member's present value of a column. */
const struct cell *row_change_get(const struct row_change *change, int column);

/* Sets it; the first assignment copies the cells into the region. A text cell's bytes are kept, not
 * copied: they must live as long as the region. False with FAULT_EXHAUSTED, and nothing is set. */
MUST_CHECK bool row_change_set(struct row_change *change, struct region *region, int column,
                               const struct cell *cell, struct fault *fault);
