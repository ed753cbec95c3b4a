#include "pg_column.h"

#include "number_text.h"
#include "pg_array.h"

#include <string.h>

void pg_column_init(struct pg_column *column, enum pg_column_kind kind, size_t limit_bytes)
{
    column->kind = kind;
    column->n_same = 0;
    text_init(&column->array, limit_bytes);
    text_init(&column->first, limit_bytes);
    pg_array_begin(&column->array);
}

void pg_column_done(struct pg_column *column)
{
    text_done(&column->array);
    text_done(&column->first);
}

static bool is_first(const struct pg_column *column)
{
    return column->n_same == 0 && column->array.length == 1;
}

/* Another value has come: from now on each stands for itself. */
static void spell_out(struct pg_column *column)
{
    const char *value = column->kind == PG_COLUMN_NULLABLE ? NULL : text_chars(&column->first);
    for (; column->n_same > 0; column->n_same--)
        pg_array_add(&column->array, value);
}

static bool joins(struct pg_column *column, const char *value)
{
    switch (column->kind) {
    case PG_COLUMN_EACH: return false;
    case PG_COLUMN_NULLABLE: return !value && (is_first(column) || column->n_same > 0);
    case PG_COLUMN_COMMON:
        if (is_first(column)) {
            text_add_chars(&column->first, value);
            return true;
        }
        return column->n_same > 0 && strcmp(text_chars(&column->first), value) == 0;
    }
    return false;
}

void pg_column_add(struct pg_column *column, const char *value)
{
    if (joins(column, value)) {
        column->n_same++;
        return;
    }
    spell_out(column);
    pg_array_add(&column->array, value);
}

void pg_column_add_int64(struct pg_column *column, int64_t value)
{
    char digits[NUMBER_TEXT_BYTES];
    *number_text_int(digits, value) = '\0';
    pg_column_add(column, digits);
}

void pg_column_add_milli(struct pg_column *column, int64_t thousandths)
{
    spell_out(column);
    pg_array_add_milli(&column->array, thousandths);
}

const char *pg_column_end(struct pg_column *column)
{
    if (column->n_same > 0 && column->kind == PG_COLUMN_COMMON)
        pg_array_add(&column->array, text_chars(&column->first));
    pg_array_end(&column->array);
    return text_chars(&column->array);
}

bool pg_column_failed(const struct pg_column *column)
{
    return column->array.failed || column->first.failed;
}
