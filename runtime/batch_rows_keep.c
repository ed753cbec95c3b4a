/* What members changed in rows: kept in memory, in order, until it is saved. */
#include "batch_rows_private.h"

#include <string.h>

static bool all_mergeable(const struct table *table, const uint64_t *assigned)
{
    for (int i = 0; i < table->n_columns; i++)
        if (batch_rows_bit(assigned, i) && !table->columns[i].mergeable)
            return false;
    return table->mergeable;
}

/* What the database may write otherwise than it was given: 1.5 as 1.50, a char(8) padded. A later
 * member must not read such a value from memory. */
static bool reshaped(const struct table *table, const uint64_t *assigned)
{
    for (int i = 0; i < table->n_columns; i++) {
        const struct column *column = &table->columns[i];
        bool as_given = strcmp(column->type_name, "character varying") == 0 ||
                        (batch_rows_travels_as_itself(column) &&
                         strcmp(column->type_name, column->plain_type) == 0);
        if (batch_rows_bit(assigned, i) && !as_given)
            return true;
    }
    return false;
}

static bool touches_key(const struct table *table, const uint64_t *assigned)
{
    for (int u = 0; u < table->n_unique_keys; u++)
        for (const int *column = table->unique_keys[u]; *column >= 0; column++)
            if (batch_rows_bit(assigned, *column))
                return true;
    for (int i = 0; i < table->n_primary_key; i++)
        if (batch_rows_bit(assigned, table->primary_key[i]))
            return true;
    return false;
}

bool batch_rows_can_be_found(const struct held *held, struct fault *fault)
{
    return held->n_id_columns > 0 ||
           fault_set(
               fault, FAULT_INVALID,
               "table %s has no primary key: its rows cannot be changed or deleted one by one",
               held->row.table->name);
}

static bool any_reads_spread(const struct batch_rows *rows)
{
    for (const struct load *load = rows->loads; load; load = load->next)
        if (load->table->reads_spread)
            return true;
    return false;
}

bool batch_rows_keep(struct batch_rows *rows, struct row_change *change, enum version_check check,
                     struct fault *fault)
{
    struct held *held = (struct held *)change->row; /* the row is its first member */
    const struct table *table = change->row->table;
    size_t n_words = batch_rows_bit_words(table);
    if (!row_change_any(change))
        return true;
    if (!batch_rows_can_be_found(held, fault))
        return false;
    if (!held->assigned)
        held->assigned = region_take(rows->region, n_words * sizeof *held->assigned);
    if (!held->assigned || !GROW(rows->updates, rows->n_updates, rows->updates_capacity))
        return fault_no_memory(fault);
    if (held->n_updates == 0) {
        held->merges = true;
        held->first_cells = held->row.cells;
        memset(held->assigned, 0, n_words * sizeof *held->assigned);
    }
    for (size_t w = 0; w < n_words; w++)
        held->assigned[w] |= change->assigned[w];
    held->merges = held->merges && all_mergeable(table, change->assigned);
    held->version_ignored = check == VERSION_IGNORED && (!held->n_updates || held->version_ignored);
    held->n_updates++;
    rows->updates[rows->n_updates++] = (struct update){.held = held,
                                                       .before = held->row.cells,
                                                       .after = change->cells,
                                                       .assigned = change->assigned};
    held->row.cells = change->cells;
    rows->spread = rows->spread || table->writes_spread || touches_key(table, change->assigned) ||
                   reshaped(table, change->assigned) || any_reads_spread(rows);
    return true;
}

bool batch_rows_unsaved(const struct batch_rows *rows)
{
    return rows->n_updates > 0;
}
