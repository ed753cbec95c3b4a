/* Rows that are known from an earlier transaction. */
#include "batch_rows_private.h"

#include <stdio.h>
#include <string.h>

static bool finds_by_key(const struct slot *slot)
{
    const struct load *load = slot->load;
    return table_is_key(load->table, load->columns, load->n_columns);
}

void batch_rows_add_question(const struct batch_rows *rows, int slot, struct text *out)
{
    const struct load *load = rows->slots[slot]->load;
    text_add_int64(out, (intptr_t)load->table);
    for (int i = 0; i < load->n_columns; i++)
        text_addf(out, ",%d", load->columns[i]);
    text_add_chars(out, strchr(rows->slots[slot]->question, '|')); /* its values */
}

bool batch_rows_is_all(const struct batch_rows *rows, int slot)
{
    const struct slot *asked = rows->slots[slot];
    return rows->n_slots == 1 && rows->n_held == 1 && asked->n_found == 1 && finds_by_key(asked) &&
           !rows->wrote && rows->held[0]->row.xmin[0];
}

bool batch_rows_text_varies(const struct batch_rows *rows, int slot)
{
    const struct table *table = rows->slots[slot]->load->table;
    for (int i = 0; i < table->n_columns; i++) {
        switch (table->columns[i].kind) {
        case COLUMN_INT2:
        case COLUMN_INT4:
        case COLUMN_INT8:
        case COLUMN_BOOLEAN:
        case COLUMN_TEXT:
        case COLUMN_NUMERIC:
        case COLUMN_JSON: break;
        case COLUMN_FLOAT4:
        case COLUMN_FLOAT8:
        case COLUMN_TIMESTAMP:
        case COLUMN_OTHER: return true;
        }
    }
    return false;
}

/* As record_out does: src/backend/utils/adt/rowtypes.c. What it would quote by the locale's own
 * spaces is another text, and thus a row that is not recalled. */
static void add_record_value(struct text *out, const char *value)
{
    bool quoted = !*value || strpbrk(value, "\"\\(), \t\n\v\f\r");
    if (!quoted) {
        text_add_chars(out, value);
        return;
    }
    text_add_char(out, '"');
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            text_add_char(out, *value);
        text_add_char(out, *value);
    }
    text_add_char(out, '"');
}

static const char *record_text(struct batch_rows *rows, const struct table *table,
                               const PGresult *row)
{
    struct text *text = &rows->scratch;
    text_clear(text);
    for (int c = 0; c < table->n_columns; c++) {
        text_add_char(text, c ? ',' : '(');
        if (!PQgetisnull(row, 0, c + 3))
            add_record_value(text, PQgetvalue(row, 0, c + 3));
    }
    text_add_char(text, ')');
    return text->failed ? NULL : region_copy_chars(rows->region, text_chars(text));
}

bool batch_rows_recall(struct batch_rows *rows, int slot, const PGresult *row, struct fault *fault)
{
    struct slot *asked = rows->slots[slot];
    rows->content = record_text(rows, asked->load->table, row);
    if (!rows->content)
        return fault_no_memory(fault);
    rows->round++;
    asked->n_found = 0;
    asked->loaded = batch_rows_read_line(rows, asked, row, 0, /* before= */ NULL, fault);
    rows->recalled = asked->loaded ? asked : NULL;
    return asked->loaded;
}
