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

bool batch_rows_recall(struct batch_rows *rows, int slot, const PGresult *row, struct fault *fault)
{
    struct slot *asked = rows->slots[slot];
    rows->round++;
    asked->n_found = 0;
    asked->loaded = batch_rows_read_line(rows, asked, row, 0, /* before= */ NULL, fault);
    rows->recalled = asked->loaded ? asked : NULL;
    snprintf(rows->content, sizeof rows->content, "%s", PQgetvalue(row, 0, 0));
    return asked->loaded;
}
