/*
 * A slot is a question (table, columns, values); a held row is a row of the table, known by its
 * ctid while it is loaded, so that two questions that find the same row share it.
 */
#include "batch_rows.h"

#include "batch_rows_private.h"
#include "pg_array.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct batch_rows *batch_rows_new(struct region *region)
{
    struct batch_rows *rows = calloc(1, sizeof *rows);
    if (rows) {
        rows->region = region;
        text_init(&rows->scratch, SCRATCH_BYTES_MAX);
    }
    return rows;
}

void batch_rows_free(struct batch_rows *rows)
{
    if (!rows)
        return;
    HASH_CLEAR(hh, rows->slots_by_question);
    HASH_CLEAR(hh, rows->held_by_identity);
    for (int i = 0; i < rows->n_slots; i++)
        free(rows->slots[i]->found);
    free(rows->slots);
    free(rows->held);
    free(rows->updates);
    for (int i = 0; i < SAVE_TEXTS; i++)
        text_done(&rows->texts[i]);
    text_done(&rows->scratch);
    free(rows);
}

/* ---- asking ---- */

static struct load *load_of(struct batch_rows *rows, const struct table *table, const int *columns,
                            int n_columns, const char *order)
{
    struct load *load;
    for (load = rows->loads; load; load = load->next)
        if (load->table == table && load->n_columns == n_columns &&
            strcmp(load->order, order) == 0 &&
            memcmp(load->columns, columns, (size_t)n_columns * sizeof *columns) == 0)
            return load;
    load = region_take(rows->region, sizeof *load);
    if (!load)
        return NULL;
    load->table = table;
    load->n_columns = n_columns;
    int *copy = region_take(rows->region, ((size_t)n_columns + 1) * sizeof *copy);
    load->order = region_copy_chars(rows->region, order);
    if (!copy || !load->order)
        return NULL;
    memcpy(copy, columns, (size_t)n_columns * sizeof *columns);
    load->columns = copy;
    load->next = rows->loads;
    rows->loads = load;
    return load;
}

/* A text that is equal for equal questions: which load, then each value with its length. */
static const char *question_text(struct batch_rows *rows, const struct load *load,
                                 const char *const *values)
{
    text_clear(&rows->scratch);
    text_addf(&rows->scratch, "%p", (const void *)load);
    for (int i = 0; i < load->n_columns; i++) {
        text_addf(&rows->scratch, "|%zu:", strlen(values[i]));
        text_add_chars(&rows->scratch, values[i]);
    }
    return rows->scratch.failed ? NULL : text_chars(&rows->scratch);
}

static struct slot *slot_new(struct batch_rows *rows, struct load *load, const char *question,
                             const char *const *values)
{
    struct slot *slot = region_take(rows->region, sizeof *slot);
    char *key = region_copy_chars(rows->region, question);
    const char **copies = region_take(rows->region, ((size_t)load->n_columns + 1) * sizeof *copies);
    if (!slot || !key || !copies || !GROW(rows->slots, rows->n_slots, rows->slots_capacity))
        return NULL;
    for (int i = 0; i < load->n_columns; i++)
        if (!(copies[i] = region_copy_chars(rows->region, values[i])))
            return NULL;
    slot->load = load;
    slot->values = copies;
    slot->number = rows->n_slots;
    slot->question = key;
    HASH_ADD_KEYPTR(hh, rows->slots_by_question, key, strlen(key), slot);
    if (!slot->hh.tbl)
        return NULL;
    rows->slots[rows->n_slots++] = slot;
    return slot;
}

int batch_rows_want(struct batch_rows *rows, const struct table *table, const int *columns,
                    int n_columns, const char *const *values, const char *order,
                    struct fault *fault)
{
    struct load *load = load_of(rows, table, columns, n_columns, order);
    const char *question = load ? question_text(rows, load, values) : NULL;
    struct slot *slot = NULL;
    if (question) {
        HASH_FIND(hh, rows->slots_by_question, question, strlen(question), slot);
        if (!slot)
            slot = slot_new(rows, load, question, values);
    }
    if (slot)
        return slot->number;
    fault_no_memory(fault);
    return -1;
}

/* ---- loading ---- */

static void add_match_sql(struct text *sql, const struct load *load)
{
    const struct table *table = load->table;
    text_add_chars(sql, " FROM unnest(");
    for (int i = 0; i < load->n_columns; i++)
        text_addf(sql, "%s$%d::%s[]", i ? ", " : "", i + 1,
                  batch_rows_array_type(&table->columns[load->columns[i]]));
    text_add_chars(sql, ") WITH ORDINALITY AS v(");
    for (int i = 0; i < load->n_columns; i++)
        text_addf(sql, "k%d, ", i + 1);
    text_addf(sql, "ord) JOIN %s t ON ", table->quoted);
    for (int i = 0; i < load->n_columns; i++) {
        const struct column *column = &table->columns[load->columns[i]];
        text_addf(sql, "%st.%s = ", i ? " AND " : "", column->quoted);
        batch_rows_add_value(sql, column, "k", i + 1);
    }
}

static void add_load_sql(struct text *sql, const struct load *load)
{
    const struct table *table = load->table;
    text_clear(sql);
    text_add_chars(sql, "SELECT v.ord, t.ctid, t.xmin");
    for (int i = 0; i < table->n_columns; i++)
        text_addf(sql, ", t.%s", table->columns[i].quoted);
    if (load->n_columns > 0)
        add_match_sql(sql, load);
    else
        text_addf(sql, " FROM (SELECT 1 AS ord) v, %s t", table->quoted);
    if (*load->order)
        text_addf(sql, " ORDER BY %s", load->order);
}

static void add_load(struct batch_rows *rows, struct load *load, struct pg_pipeline *pipeline)
{
    const char *params[PG_PARAMS_MAX];
    load->n_asked = 0;
    load->statement = -1;
    for (int c = 0; c < load->n_columns; c++) {
        struct text *array = &rows->texts[c];
        batch_rows_text(rows, c);
        pg_array_begin(array);
        for (int i = 0; i < rows->n_slots; i++)
            if (rows->slots[i]->load == load && !rows->slots[i]->loaded)
                pg_array_add(array, rows->slots[i]->values[c]);
        pg_array_end(array);
        params[c] = text_chars(array);
        rows->failed = rows->failed || array->failed;
    }
    for (int i = 0; i < rows->n_slots; i++) {
        struct slot *slot = rows->slots[i];
        if (slot->load == load && !slot->loaded)
            slot->ordinal = ++load->n_asked;
    }
    if (load->n_asked == 0)
        return;
    add_load_sql(&rows->scratch, load);
    rows->failed = rows->failed || rows->scratch.failed;
    load->statement =
        pg_pipeline_add(pipeline, PG_PREPARED, text_chars(&rows->scratch), load->n_columns, params);
}

void batch_rows_add_loads(struct batch_rows *rows, struct pg_pipeline *pipeline)
{
    for (struct load *load = rows->loads; load; load = load->next)
        add_load(rows, load, pipeline);
}

static bool fill_row(struct batch_rows *rows, struct row *row, const PGresult *result, int at,
                     struct fault *fault)
{
    const struct table *table = row->table;
    struct cell *cells = region_take(rows->region, ((size_t)table->n_columns + 1) * sizeof *cells);
    if (!cells)
        return fault_no_memory(fault);
    for (int i = 0; i < table->n_columns; i++) {
        const char *text = PQgetisnull(result, at, i + 3) ? NULL : PQgetvalue(result, at, i + 3);
        if (!cell_read(rows->region, &table->columns[i], text,
                       (size_t)PQgetlength(result, at, i + 3), &cells[i], fault))
            return false;
    }
    row->cells = cells;
    row->state = ROW_FOUND;
    snprintf(row->xmin, sizeof row->xmin, "%s", PQgetvalue(result, at, 2));
    return true;
}

static struct held *held_find(struct batch_rows *rows, const struct table *table, const char *ctid,
                              char identity[IDENTITY_BYTES])
{
    struct held *held = NULL;
    snprintf(identity, IDENTITY_BYTES, "%u%s", table->oid, ctid);
    HASH_FIND(hh, rows->held_by_identity, identity, strlen(identity), held);
    return held;
}

static struct held *held_new(struct batch_rows *rows, const struct table *table,
                             struct fault *fault)
{
    if (rows->n_held == BATCH_ROWS_MAX) {
        fault_set(fault, FAULT_EXHAUSTED, "more than %d rows in one transaction", BATCH_ROWS_MAX);
        return NULL;
    }
    struct held *held = region_take(rows->region, sizeof *held);
    if (!held || !GROW(rows->held, rows->n_held, rows->held_capacity)) {
        fault_no_memory(fault);
        return NULL;
    }
    rows->held[rows->n_held++] = held;
    held->row.table = table;
    held->id_columns = table->primary_key;
    held->n_id_columns = table->n_primary_key;
    return held;
}

/* The row that this line of the result is: one already filled, the slot's own from before, or new.
 */
static struct held *held_for(struct batch_rows *rows, struct slot *slot, const PGresult *result,
                             int at, struct held *before, struct fault *fault)
{
    char identity[IDENTITY_BYTES];
    const struct table *table = slot->load->table;
    struct held *held = held_find(rows, table, PQgetvalue(result, at, 1), identity);
    if (held)
        return held;
    held = before;
    if (!held && !(held = held_new(rows, table, fault)))
        return NULL;
    if (!held->id_columns) {
        held->id_columns = slot->load->columns;
        held->n_id_columns = slot->load->n_columns;
    }
    if (!fill_row(rows, &held->row, result, at, fault))
        return NULL;
    memcpy(held->identity, identity, sizeof identity);
    HASH_ADD_KEYPTR(hh, rows->held_by_identity, held->identity, strlen(held->identity), held);
    return held;
}

static bool read_load(struct batch_rows *rows, struct load *load, const PGresult *result,
                      struct fault *fault)
{
    int at = 0, n_lines = PQntuples(result);
    for (int i = 0; i < rows->n_slots; i++) {
        struct slot *slot = rows->slots[i];
        if (slot->load != load || slot->loaded)
            continue;
        slot->n_before = slot->n_found;
        slot->n_found = 0;
        slot->loaded = true;
        load->by_ordinal[slot->ordinal - 1] = slot;
    }
    for (; at < n_lines; at++) {
        int ordinal = atoi(PQgetvalue(result, at, 0));
        assert(ordinal >= 1 && ordinal <= load->n_asked);
        struct slot *slot = load->by_ordinal[ordinal - 1];
        struct held *before = slot->n_found < slot->n_before ? slot->found[slot->n_found] : NULL;
        struct held *held = held_for(rows, slot, result, at, before, fault);
        if (!held)
            return false;
        if (!GROW(slot->found, slot->n_found, slot->found_capacity))
            return fault_no_memory(fault);
        slot->found[slot->n_found++] = held;
    }
    return true;
}

/* Rows that a slot had before and that are gone now must not look alive. */
static void mark_absent(const struct load *load)
{
    for (int i = 0; i < load->n_asked; i++) {
        struct slot *slot = load->by_ordinal[i];
        assert(slot); /* every ordinal was given to a slot */
        for (int f = slot->n_found; f < slot->n_before; f++)
            slot->found[f]->row.state = ROW_ABSENT;
    }
}

bool batch_rows_read_loads(struct batch_rows *rows, PGresult *const *results, struct fault *fault)
{
    for (struct load *load = rows->loads; load; load = load->next) {
        if (load->statement < 0)
            continue;
        load->by_ordinal = calloc((size_t)load->n_asked + 1, sizeof *load->by_ordinal);
        bool ok = load->by_ordinal != NULL;
        if (!ok)
            fault_no_memory(fault);
        ok = ok && read_load(rows, load, results[load->statement], fault);
        if (ok)
            mark_absent(load);
        free(load->by_ordinal);
        load->by_ordinal = NULL;
        if (!ok)
            return false;
    }
    return true;
}

void batch_rows_forget(struct batch_rows *rows)
{
    HASH_CLEAR(hh, rows->held_by_identity);
    for (int i = 0; i < rows->n_slots; i++)
        rows->slots[i]->loaded = false;
}

int batch_rows_n_found(const struct batch_rows *rows, int slot)
{
    return rows->slots[slot]->n_found;
}

struct row *batch_rows_found(const struct batch_rows *rows, int slot, int i)
{
    return &rows->slots[slot]->found[i]->row;
}

bool batch_rows_share(const struct batch_rows *rows, int a, int b)
{
    const struct slot *x = rows->slots[a], *y = rows->slots[b];
    for (int i = 0; i < x->n_found; i++)
        for (int j = 0; j < y->n_found; j++)
            if (x->found[i] == y->found[j])
                return true;
    return false;
}

int batch_rows_n_columns(const struct batch_rows *rows, int slot)
{
    return rows->slots[slot]->load->n_columns;
}

int batch_rows_column(const struct batch_rows *rows, int slot, int i)
{
    return rows->slots[slot]->load->columns[i];
}

const char *batch_rows_value(const struct batch_rows *rows, int slot, int i)
{
    return rows->slots[slot]->values[i];
}

void batch_rows_add_returning(const struct table *table, struct text *sql)
{
    text_add_chars(sql, "0, ctid, xmin");
    for (int i = 0; i < table->n_columns; i++)
        text_addf(sql, ", %s", table->columns[i].quoted);
}

struct row *batch_rows_adopt(struct batch_rows *rows, const struct table *table,
                             const PGresult *result, struct fault *fault)
{
    struct held *held = held_new(rows, table, fault);
    if (!held || !fill_row(rows, &held->row, result, 0, fault))
        return NULL;
    held->row.xmin[0] = '\0';
    rows->spread = true;
    return &held->row;
}

bool batch_rows_take_spread(struct batch_rows *rows)
{
    bool spread = rows->spread;
    rows->spread = false;
    return spread;
}
