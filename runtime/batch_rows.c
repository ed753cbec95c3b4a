/*
 * A slot is a question (table, columns, values); a held row is a row of the table, known by its
 * ctid while it is loaded, so that two questions that find the same row share it.
 */
#include "batch_rows.h"

#include "batch_rows_private.h"
#include "pg_array.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PRIMARY_KEY_MAX = 32, /* PostgreSQL's INDEX_MAX_KEYS */
};

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

/* "|LENGTH:VALUE", so that no two lists of values give one text. */
static void add_value(struct text *text, const char *value)
{
    size_t length = value ? strlen(value) : 0;
    text_add_char(text, '|');
    text_add_int64(text, (int64_t)length);
    text_add_char(text, ':');
    text_add(text, value, length);
}

/* A text that is equal for equal questions: which load, then each value with its length. */
static const char *question_text(struct batch_rows *rows, const struct load *load, int n_columns,
                                 const char *const *values)
{
    text_clear(&rows->scratch);
    text_add_int64(&rows->scratch, (intptr_t)load);
    for (int i = 0; i < n_columns; i++)
        add_value(&rows->scratch, values[i]);
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
    const char *question = load ? question_text(rows, load, n_columns, values) : NULL;
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

/* The rows of one question: its values are the parameters. */
static void add_one_sql(struct text *sql, const struct load *load)
{
    text_addf(sql, " FROM %s t", load->table->quoted);
    for (int i = 0; i < load->n_columns; i++) {
        const struct column *column = &load->table->columns[load->columns[i]];
        text_addf(sql, " %s t.%s = ", i ? "AND" : "WHERE", column->quoted);
        batch_rows_add_param(sql, column, i + 1);
    }
}

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

/* As PostgreSQL writes an integer: it comes back as it went. */
static bool is_canonical_integer(const char *value)
{
    size_t n = strlen(value);
    const char *digits = value + (*value == '-');
    return *digits && strspn(digits, "0123456789") == n - (size_t)(digits - value) &&
           (*digits != '0' || strcmp(value, "0") == 0);
}

/* Rows of many integer keys: PostgreSQL finds them faster by one array than by a join. */
static bool is_by_value(const struct batch_rows *rows, const struct load *load)
{
    enum column_kind kind = load->table->columns[load->columns[0]].kind;
    if (load->n_columns != 1 || *load->order ||
        !table_is_key(load->table, load->columns, load->n_columns) ||
        (kind != COLUMN_INT2 && kind != COLUMN_INT4 && kind != COLUMN_INT8))
        return false;
    for (int i = 0; i < rows->n_slots; i++)
        if (rows->slots[i]->load == load && !rows->slots[i]->loaded &&
            !is_canonical_integer(rows->slots[i]->values[0]))
            return false;
    return true;
}

static void add_any_sql(struct text *sql, const struct load *load)
{
    const struct column *column = &load->table->columns[load->columns[0]];
    text_addf(sql, " FROM %s t WHERE t.%s = ANY ($1::%s[])", load->table->quoted, column->quoted,
              batch_rows_array_type(column));
}

static void add_load_sql(struct text *sql, const struct load *load)
{
    const struct table *table = load->table;
    bool told_by_ordinal = load->n_asked > 1 && !load->by_value;
    text_clear(sql);
    text_add_chars(sql, told_by_ordinal ? "SELECT v.ord" : "SELECT 1");
    text_add_chars(sql, ", t.ctid, t.xmin");
    for (int i = 0; i < table->n_columns; i++) {
        text_add_chars(sql, ", t.");
        text_add_chars(sql, table->columns[i].quoted);
    }
    if (load->n_asked == 1)
        add_one_sql(sql, load);
    else if (load->by_value)
        add_any_sql(sql, load);
    else
        add_match_sql(sql, load);
    if (*load->order)
        text_addf(sql, " ORDER BY %s", load->order);
    if (!table_is_key(table, load->columns, load->n_columns)) /* one more than is taken */
        text_addf(sql, " LIMIT %d", BATCH_ROWS_MAX + 1);
}

static void add_arrays(struct batch_rows *rows, const struct load *load, const char **params)
{
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
}

static void add_load(struct batch_rows *rows, struct load *load, struct pg_pipeline *pipeline)
{
    const char *arrays[PG_PARAMS_MAX], *const *params = arrays;
    load->n_asked = 0;
    load->statement = -1;
    for (int i = 0; i < rows->n_slots; i++) {
        struct slot *slot = rows->slots[i];
        if (slot->load != load || slot->loaded)
            continue;
        slot->ordinal = ++load->n_asked;
        params = slot->values; /* if it is the only one */
    }
    if (load->n_asked == 0)
        return;
    load->by_value = load->n_asked > 1 && is_by_value(rows, load);
    if (load->n_asked > 1) {
        add_arrays(rows, load, arrays);
        params = arrays;
    }
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
    strncpy(row->xmin, PQgetvalue(result, at, 2), sizeof row->xmin - 1);
    return true;
}

/* ---- which row it is ---- */

/* By its primary key; without one by where it stands, which holds as long as nobody writes it. */
static const char *identity_text(struct batch_rows *rows, const struct table *table,
                                 const struct cell *cells, const char *ctid)
{
    char buffer[CELL_BUFFER_BYTES];
    struct text *text = &rows->scratch;
    text_clear(text);
    text_add_int64(text, table->oid);
    if (!table->n_primary_key)
        add_value(text, ctid);
    for (int i = 0; i < table->n_primary_key; i++)
        add_value(text, cell_write(&cells[table->primary_key[i]], buffer));
    return text->failed ? NULL : text_chars(text);
}

void batch_rows_unindex(struct batch_rows *rows, struct held *held)
{
    if (held->identity)
        HASH_DEL(rows->held_by_identity, held);
    held->identity = NULL;
}

static struct held *held_find(const struct batch_rows *rows, const char *identity)
{
    struct held *held = NULL;
    HASH_FIND(hh, rows->held_by_identity, identity, strlen(identity), held);
    return held;
}

bool batch_rows_index(struct batch_rows *rows, struct held *held, const char *ctid)
{
    batch_rows_unindex(rows, held);
    const char *text = identity_text(rows, held->row.table, held->row.cells, ctid);
    char *copy = text ? region_copy_chars(rows->region, text) : NULL;
    if (!copy)
        return false;
    struct held *other = held_find(rows, copy);
    if (other) /* it was deleted, or has another key now */
        batch_rows_unindex(rows, other);
    held->identity = copy;
    HASH_ADD_KEYPTR(hh, rows->held_by_identity, copy, strlen(copy), held);
    if (!held->hh.tbl)
        held->identity = NULL;
    return held->identity != NULL;
}

static bool too_many_rows(struct fault *fault)
{
    return fault_set(fault, FAULT_EXHAUSTED, "more than %d rows in one transaction",
                     BATCH_ROWS_MAX);
}

static struct held *held_new(struct batch_rows *rows, const struct table *table,
                             struct fault *fault)
{
    if (rows->n_held == BATCH_ROWS_MAX) {
        (void)too_many_rows(fault);
        return NULL;
    }
    struct held *held = region_take(rows->region, sizeof *held);
    if (!held || !GROW(rows->held, rows->n_held, rows->held_capacity)) {
        fault_no_memory(fault);
        return NULL;
    }
    rows->held[rows->n_held++] = held;
    held->row.table = table;
    held->row.state = ROW_ABSENT;
    held->id_columns = table->primary_key;
    held->n_id_columns = table->n_primary_key;
    return held;
}

/* ---- reading ---- */

static bool is_by_key(const struct load *load)
{
    return table_is_key(load->table, load->columns, load->n_columns);
}

/* The row of this line: one that is known, or a new one. before is what the slot had found, if
 * there is no primary key to know it by and the slot finds one row at most. */
static struct held *held_for(struct batch_rows *rows, struct slot *slot, const PGresult *result,
                             int at, struct held *before, struct fault *fault)
{
    const struct table *table = slot->load->table;
    struct row read = {.table = table};
    if (!fill_row(rows, &read, result, at, fault))
        return NULL;
    const char *identity = identity_text(rows, table, read.cells, PQgetvalue(result, at, 1));
    if (!identity) {
        fault_no_memory(fault);
        return NULL;
    }
    struct held *held = held_find(rows, identity);
    if (held && held->round == rows->round)
        return held;
    if (held && held->row.state != ROW_FOUND)
        held = NULL; /* the row was deleted; this is another with its key */
    if (!held)
        held = before;
    if (held && rows->keeps_as_read) {
        held->round = rows->round;
        return held;
    }
    if (!held && !(held = held_new(rows, table, fault)))
        return NULL;
    if (!held->n_id_columns && is_by_key(slot->load)) {
        held->id_columns = slot->load->columns;
        held->n_id_columns = slot->load->n_columns;
    }
    held->row = read;
    strncpy(held->ctid, PQgetvalue(result, at, 1), sizeof held->ctid - 1);
    held->round = rows->round;
    if (!batch_rows_index(rows, held, PQgetvalue(result, at, 1))) {
        fault_no_memory(fault);
        return NULL;
    }
    return held;
}

bool batch_rows_read_line(struct batch_rows *rows, struct slot *slot, const PGresult *result,
                          int at, struct held *before, struct fault *fault)
{
    struct held *held = held_for(rows, slot, result, at, before, fault);
    if (!held)
        return false;
    if (!GROW(slot->found, slot->n_found, slot->found_capacity))
        return fault_no_memory(fault);
    slot->found[slot->n_found++] = held;
    return true;
}

/* The slot that asked for a line of the answer. */
static struct slot *slot_of_line(struct batch_rows *rows, const struct load *load,
                                 const PGresult *result, int at)
{
    int ordinal = atoi(PQgetvalue(result, at, 0));
    if (!load->by_value)
        return ordinal >= 1 && ordinal <= load->n_asked ? load->by_ordinal[ordinal - 1] : NULL;
    const char *value = PQgetvalue(result, at, 3 + load->columns[0]);
    const char *question = question_text(rows, load, 1, &value);
    struct slot *slot = NULL;
    if (question)
        HASH_FIND(hh, rows->slots_by_question, question, strlen(question), slot);
    return slot;
}

static bool read_load(struct batch_rows *rows, struct load *load, const PGresult *result,
                      struct fault *fault)
{
    int n_lines = PQntuples(result);
    if (n_lines > BATCH_ROWS_MAX)
        return too_many_rows(fault);
    bool reuses = !load->table->n_primary_key && is_by_key(load);
    for (int i = 0; i < rows->n_slots; i++) {
        struct slot *slot = rows->slots[i];
        if (slot->load != load || slot->loaded)
            continue;
        slot->before = reuses && slot->n_found > 0 ? slot->found[0] : NULL;
        slot->n_found = 0;
        slot->loaded = true;
        load->by_ordinal[slot->ordinal - 1] = slot;
    }
    for (int at = 0; at < n_lines; at++) {
        struct slot *slot = slot_of_line(rows, load, result, at);
        if (!slot)
            return fault_set(fault, FAULT_DATABASE, "table %s gave a row that was not asked for",
                             load->table->name);
        if (!batch_rows_read_line(rows, slot, result, at, slot->before, fault))
            return false;
    }
    return true;
}

bool batch_rows_read_loads(struct batch_rows *rows, PGresult *const *results, struct fault *fault)
{
    rows->round++;
    for (struct load *load = rows->loads; load; load = load->next) {
        if (load->statement < 0)
            continue;
        load->by_ordinal = calloc((size_t)load->n_asked + 1, sizeof *load->by_ordinal);
        bool ok = load->by_ordinal != NULL;
        if (!ok)
            fault_no_memory(fault);
        ok = ok && read_load(rows, load, results[load->statement], fault);
        free(load->by_ordinal);
        load->by_ordinal = NULL;
        load->statement = -1;
        if (!ok)
            return false;
    }
    for (int i = 0; rows->forgot && i < rows->n_held; i++)
        if (rows->held[i]->row.state == ROW_FOUND && rows->held[i]->round != rows->round)
            rows->held[i]->row.state = ROW_ABSENT;
    rows->forgot = false;
    return true;
}

void batch_rows_keep_as_read(struct batch_rows *rows)
{
    rows->keeps_as_read = true;
}

void batch_rows_ask_anew(struct batch_rows *rows, int slot)
{
    rows->slots[slot]->loaded = false;
}

/* Asks for the row by its primary key, however it was found. */
static bool want_held(struct batch_rows *rows, const struct held *held, struct fault *fault)
{
    char buffers[PRIMARY_KEY_MAX][CELL_BUFFER_BYTES];
    const char *values[PRIMARY_KEY_MAX] = {NULL};
    const struct table *table = held->row.table;
    int n_columns = table->n_primary_key;
    for (int i = 0; i < n_columns; i++)
        values[i] = cell_write(&held->row.cells[table->primary_key[i]], buffers[i]);
    return batch_rows_want(rows, table, table->primary_key, n_columns, values, "", fault) >= 0;
}

bool batch_rows_forget(struct batch_rows *rows, struct fault *fault)
{
    for (int i = 0; i < rows->n_held; i++) {
        const struct held *held = rows->held[i];
        if (held->row.state == ROW_FOUND && held->row.table->n_primary_key &&
            !want_held(rows, held, fault))
            return false;
    }
    for (int i = 0; i < rows->n_slots; i++)
        rows->slots[i]->loaded = false;
    rows->forgot = true;
    return true;
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
    held->round = rows->round;
    rows->spread = rows->wrote = true;
    if (batch_rows_index(rows, held, PQgetvalue(result, 0, 1)))
        return &held->row;
    fault_no_memory(fault);
    return NULL;
}

bool batch_rows_take_spread(struct batch_rows *rows)
{
    bool spread = rows->spread;
    rows->spread = false;
    return spread;
}
