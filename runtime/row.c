#include "row.h"

#include "decimal.h"
#include "number_text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)CELL_BUFFER_BYTES >= (int)DECIMAL_BUFFER_BYTES, "cell_write writes decimals");

static bool unreadable(const struct column *column, const char *text, const char *expected,
                       struct fault *fault)
{
    return fault_set(fault, FAULT_DATABASE,
                     "column %s: the database sent \"%.60s\", which is no %s", column->name, text,
                     expected);
}

static bool read_integer(const struct column *column, const char *text, struct cell *out,
                         struct fault *fault)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0)
        return unreadable(column, text, "integer", fault);
    *out = (struct cell){.kind = CELL_INTEGER, .integer = value};
    return true;
}

static bool read_number(const struct column *column, const char *text, struct cell *out,
                        struct fault *fault)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0')
        return unreadable(column, text, "number", fault);
    *out = (struct cell){.kind = CELL_NUMBER, .number = value};
    return true;
}

static bool read_boolean(const struct column *column, const char *text, struct cell *out,
                         struct fault *fault)
{
    if (strcmp(text, "t") != 0 && strcmp(text, "f") != 0)
        return unreadable(column, text, "boolean", fault);
    *out = (struct cell){.kind = CELL_BOOLEAN, .boolean = *text == 't'};
    return true;
}

bool cell_read(struct region *region, const struct column *column, const char *text, size_t n_bytes,
               struct cell *out, struct fault *fault)
{
    if (!text) {
        *out = (struct cell){.kind = CELL_NULL};
        return true;
    }
    switch (column->kind) {
    case COLUMN_INT2:
    case COLUMN_INT4:
    case COLUMN_INT8: return read_integer(column, text, out, fault);
    case COLUMN_FLOAT4:
    case COLUMN_FLOAT8: return read_number(column, text, out, fault);
    case COLUMN_BOOLEAN: return read_boolean(column, text, out, fault);
    case COLUMN_TEXT:
    case COLUMN_NUMERIC:
    case COLUMN_JSON:
    case COLUMN_TIMESTAMP:
    case COLUMN_OTHER: break;
    }
    return cell_text(region, text, n_bytes, out, fault);
}

bool cell_text(struct region *region, const char *bytes, size_t n_bytes, struct cell *out,
               struct fault *fault)
{
    char *copy = region_copy(region, bytes, n_bytes);
    if (!copy)
        return fault_no_memory(fault);
    *out = (struct cell){.kind = CELL_TEXT, .text = {.bytes = copy, .n_bytes = n_bytes}};
    return true;
}

const char *cell_write(const struct cell *cell, char buffer[CELL_BUFFER_BYTES])
{
    switch (cell->kind) {
    case CELL_NULL: return NULL;
    case CELL_INTEGER: *number_text_int(buffer, cell->integer) = '\0'; return buffer;
    case CELL_NUMBER: decimal_write(cell->number, buffer); return buffer;
    case CELL_BOOLEAN: return cell->boolean ? "t" : "f";
    case CELL_TEXT: break;
    }
    return cell->text.bytes;
}

/* 0.0 and -0.0 differ, since they are written differently; a NaN is equal to a NaN. */
static bool number_equal(double a, double b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    return a == b && signbit(a) == signbit(b);
}

bool cell_equal(const struct cell *a, const struct cell *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case CELL_NULL: return true;
    case CELL_INTEGER: return a->integer == b->integer;
    case CELL_NUMBER: return number_equal(a->number, b->number);
    case CELL_BOOLEAN: return a->boolean == b->boolean;
    case CELL_TEXT: break;
    }
    return a->text.n_bytes == b->text.n_bytes &&
           memcmp(a->text.bytes, b->text.bytes, a->text.n_bytes) == 0;
}

enum {
    WORD_BITS = 64,
};

bool row_change_assigned(const struct row_change *change, int column)
{
    return change->cells && (change->assigned[column / WORD_BITS] >> (column % WORD_BITS) & 1);
}

bool row_change_any(const struct row_change *change)
{
    if (!change->cells)
        return false;
    int n_words = (change->row->table->n_columns + WORD_BITS - 1) / WORD_BITS;
    for (int word = 0; word < n_words; word++) {
        for (uint64_t left = change->assigned[word]; left; left &= left - 1) {
            int column = word * WORD_BITS + __builtin_ctzll(left);
            if (!cell_equal(&change->cells[column], &change->row->cells[column]))
                return true;
        }
    }
    return false;
}

const struct cell *row_change_get(const struct row_change *change, int column)
{
    return change->cells ? &change->cells[column] : &change->row->cells[column];
}

static bool make_own(struct row_change *change, struct region *region, struct fault *fault)
{
    size_t n_columns = (size_t)change->row->table->n_columns;
    size_t n_words = (n_columns + WORD_BITS - 1) / WORD_BITS;
    struct cell *cells = region_take(region, n_columns * sizeof *cells);
    uint64_t *assigned = region_take(region, n_words * sizeof *assigned);
    if (!cells || !assigned)
        return fault_no_memory(fault);
    memcpy(cells, change->row->cells, n_columns * sizeof *cells);
    change->cells = cells;
    change->assigned = assigned;
    return true;
}

bool row_change_set(struct row_change *change, struct region *region, int column,
                    const struct cell *cell, struct fault *fault)
{
    if (!change->cells && !make_own(change, region, fault))
        return false;
    change->cells[column] = *cell;
    change->assigned[column / WORD_BITS] |= UINT64_C(1) << (column % WORD_BITS);
    return true;
}
