#include "batch_rows_private.h"
#include "pg_array.h"
#include "runtime_sql.h"

#include <stdio.h>
#include <string.h>

/* ---- how values travel ---- */

bool batch_rows_travels_as_itself(const struct column *column)
{
    switch (column->kind) {
    case COLUMN_INT2:
    case COLUMN_INT4:
    case COLUMN_INT8:
    case COLUMN_FLOAT4:
    case COLUMN_FLOAT8:
    case COLUMN_BOOLEAN: return true;
    case COLUMN_TEXT: return strcmp(column->plain_type, "text") == 0;
    case COLUMN_NUMERIC:
    case COLUMN_JSON:
    case COLUMN_TIMESTAMP:
    case COLUMN_OTHER: return false;
    }
    return false;
}

const char *batch_rows_array_type(const struct column *column)
{
    return batch_rows_travels_as_itself(column) ? column->plain_type : "text";
}

void batch_rows_add_value(struct text *sql, const struct column *column, const char *name, int n)
{
    if (batch_rows_travels_as_itself(column))
        text_addf(sql, "v.%s%d", name, n);
    else
        text_addf(sql, "CAST(v.%s%d AS %s)", name, n, column->plain_type);
}

void batch_rows_add_param(struct text *sql, const struct column *column, int n)
{
    if (batch_rows_travels_as_itself(column))
        text_addf(sql, "$%d::%s", n, column->plain_type);
    else
        text_addf(sql, "CAST($%d::text AS %s)", n, column->plain_type);
}

void batch_rows_text(struct batch_rows *rows, int i)
{
    if (!rows->texts[i].limit_bytes)
        text_init(&rows->texts[i], SCRATCH_BYTES_MAX);
    text_clear(&rows->texts[i]);
}

/* ---- what is saved together ---- */

/* What is saved together: rows of one table found by the same columns. */
static int compare_groups(const struct held *a, const struct held *b)
{
    if (a->row.table->oid != b->row.table->oid)
        return a->row.table->oid < b->row.table->oid ? -1 : 1;
    if (a->id_columns != b->id_columns)
        return (uintptr_t)a->id_columns < (uintptr_t)b->id_columns ? -1 : 1;
    return 0;
}

static int compare_updates(const void *a, const void *b)
{
    const struct update *x = *(const struct update *const *)a,
                        *y = *(const struct update *const *)b;
    int order = compare_groups(x->held, y->held);
    return order ? order : x < y ? -1 : x > y;
}

static void add_cell(struct text *array, const struct cell *cell)
{
    char buffer[CELL_BUFFER_BYTES];
    pg_array_add(array, cell_write(cell, buffer));
}

/* "unnest($2::bigint[], ...) AS v(k1, ..." up to the key columns; the caller goes on. */
static void add_key_types(struct text *sql, const struct held *held, int first_param)
{
    for (int i = 0; i < held->n_id_columns; i++)
        text_addf(sql, "%s$%d::%s[]", i ? ", " : "", first_param + i,
                  batch_rows_array_type(&held->row.table->columns[held->id_columns[i]]));
}

static void add_key_names(struct text *sql, const struct held *held)
{
    for (int i = 0; i < held->n_id_columns; i++)
        text_addf(sql, "%sk%d", i ? ", " : "", i + 1);
}

static void add_key_match(struct text *sql, const struct held *held)
{
    for (int i = 0; i < held->n_id_columns; i++) {
        const struct column *column = &held->row.table->columns[held->id_columns[i]];
        text_addf(sql, "%st.%s = ", i ? " AND " : "", column->quoted);
        batch_rows_add_value(sql, column, "k", i + 1);
    }
}

/* Begins the parameters: 0 = the expected count (set by the caller), then one array a key column.
 */
static int begin_arrays(struct batch_rows *rows, int n)
{
    for (int i = 0; i < n; i++) {
        batch_rows_text(rows, i);
        pg_array_begin(&rows->texts[i]);
    }
    return n;
}

static void add_keys(struct batch_rows *rows, const struct held *held, const struct cell *cells)
{
    for (int i = 0; i < held->n_id_columns; i++)
        add_cell(&rows->texts[i], &cells[held->id_columns[i]]);
}

/* Sends rows->scratch with the count and the first n arrays. */
static void add_statement(struct batch_rows *rows, struct pg_pipeline *pipeline, int n_expected,
                          int n_arrays)
{
    char count[16];
    const char *params[PG_PARAMS_MAX];
    snprintf(count, sizeof count, "%d", n_expected);
    params[0] = count;
    for (int i = 0; i < n_arrays; i++) {
        pg_array_end(&rows->texts[i]);
        params[i + 1] = text_chars(&rows->texts[i]);
        rows->failed = rows->failed || rows->texts[i].failed;
    }
    rows->failed = rows->failed || rows->scratch.failed;
    pg_pipeline_add(pipeline, PG_PREPARED, text_chars(&rows->scratch), n_arrays + 1, params);
}

/* The order in which rows are locked, by all who lock several: that of the keys as they are given,
 * whatever the columns' collations. */
static void add_key_order(struct text *sql, const struct held *held)
{
    for (int i = 0; i < held->n_id_columns; i++) {
        text_add_chars(sql, i ? ", " : " ORDER BY ");
        batch_rows_add_value(sql, &held->row.table->columns[held->id_columns[i]], "k", i + 1);
    }
}

/* Locks the rows of a group in key order, checking the versions of those that were loaded. */
static void add_locks(struct batch_rows *rows, struct pg_pipeline *pipeline,
                      struct update *const *updates, int n)
{
    const struct held *some = updates[0]->held;
    struct text *sql = &rows->scratch;
    int n_rows = 0, n_keys = some->n_id_columns;
    int n_arrays = begin_arrays(rows, n_keys + 1);
    for (int i = 0; i < n; i++) {
        const struct held *held = updates[i]->held;
        if (updates[i]->before != held->first_cells)
            continue; /* a later update of a row that stands here already */
        add_keys(rows, held, held->first_cells);
        pg_array_add(&rows->texts[n_keys], batch_rows_version(held));
        n_rows++;
    }
    text_clear(sql);
    batch_rows_add_expect(sql);
    text_addf(sql, " FROM (SELECT 1 FROM %s t JOIN unnest(", some->row.table->quoted);
    add_key_types(sql, some, 2);
    text_addf(sql, ", $%d::xid[]) AS v(", n_keys + 2);
    add_key_names(sql, some);
    text_add_chars(sql, ", x) ON ");
    add_key_match(sql, some);
    text_add_chars(sql, " AND (v.x IS NULL OR t.xmin = v.x)");
    add_key_order(sql, some);
    text_add_chars(sql, " FOR UPDATE OF t) s");
    add_statement(rows, pipeline, n_rows, n_arrays);
}

static void add_assignment(struct text *sql, const struct column *column, bool wide, int param,
                           int n)
{
    text_addf(sql, "%s%s = ", n > 1 ? ", " : "", column->quoted);
    if (wide)
        text_addf(sql, "CAST(($%d::text[])[%d] AS %s)", param, n, column->plain_type);
    else
        batch_rows_add_value(sql, column, "c", n);
}

static void add_update_sql(struct text *sql, const struct held *held, const uint64_t *assigned,
                           bool checks_version, int *n_arrays)
{
    const struct table *table = held->row.table;
    bool wide = batch_rows_is_wide(table, assigned);
    int param = held->n_id_columns + 1, n_set = 0;
    text_clear(sql);
    text_addf(sql, "WITH u AS (UPDATE %s t SET ", table->quoted);
    for (int c = 0; c < table->n_columns; c++) {
        if (batch_rows_bit(assigned, c))
            add_assignment(sql, &table->columns[c], wide, param + 1, ++n_set);
    }
    if (wide) {
        param++;
        n_set = 0;
    }
    text_add_chars(sql, " FROM unnest(");
    add_key_types(sql, held, 2);
    for (int c = 0; c < table->n_columns && !wide; c++)
        if (batch_rows_bit(assigned, c))
            text_addf(sql, ", $%d::%s[]", ++param, batch_rows_array_type(&table->columns[c]));
    if (checks_version)
        text_addf(sql, ", $%d::xid[]", ++param);
    text_add_chars(sql, ") AS v(");
    add_key_names(sql, held);
    for (int i = 1; i <= n_set; i++)
        text_addf(sql, ", c%d", i);
    text_add_chars(sql, checks_version ? ", x) WHERE " : ") WHERE ");
    add_key_match(sql, held);
    if (checks_version)
        text_add_chars(sql, " AND (v.x IS NULL OR t.xmin = v.x)");
    text_add_chars(sql, " RETURNING 1) ");
    batch_rows_add_expect(sql);
    text_add_chars(sql, " FROM u");
    *n_arrays = param - 1;
}

/* True if both may stand in one statement. */
static bool same_columns(const struct held *a, const struct held *b)
{
    if (a == b)
        return true;
    return !batch_rows_is_wide(a->row.table, a->assigned) &&
           memcmp(a->assigned, b->assigned,
                  batch_rows_bit_words(a->row.table) * sizeof *a->assigned) == 0;
}

static void add_update_values(struct batch_rows *rows, const struct held *held,
                              const struct cell *before, const struct cell *after,
                              const uint64_t *assigned)
{
    int at = held->n_id_columns, step = batch_rows_is_wide(held->row.table, assigned) ? 0 : 1;
    add_keys(rows, held, before);
    for (int c = 0; c < held->row.table->n_columns; c++) {
        if (!batch_rows_bit(assigned, c))
            continue;
        add_cell(&rows->texts[at], &after[c]);
        at += step;
    }
}

/* One UPDATE for all rows of the group that merge and have the same columns as updates[at]. */
static void add_merged(struct batch_rows *rows, struct pg_pipeline *pipeline,
                       struct update *const *updates, int at, int n)
{
    const struct held *first = updates[at]->held;
    int n_arrays = 0, n_rows = 0;
    add_update_sql(&rows->scratch, first, first->assigned, /* checks_version= */ false, &n_arrays);
    begin_arrays(rows, n_arrays);
    for (int i = at; i < n; i++) {
        const struct held *held = updates[i]->held;
        if (!held->merges || updates[i]->before != held->first_cells || !same_columns(held, first))
            continue;
        add_update_values(rows, held, held->first_cells, held->row.cells, held->assigned);
        n_rows++;
    }
    add_statement(rows, pipeline, n_rows, n_arrays);
}

static bool merged_earlier(struct update *const *updates, int at)
{
    for (int i = 0; i < at; i++)
        if (updates[i]->held->merges && updates[i]->before == updates[i]->held->first_cells &&
            same_columns(updates[i]->held, updates[at]->held))
            return true;
    return false;
}

static void add_single(struct batch_rows *rows, struct pg_pipeline *pipeline,
                       const struct update *update, bool checks_version)
{
    const struct held *held = update->held;
    int n_arrays = 0;
    if (!batch_rows_is_wide(held->row.table, update->assigned)) {
        batch_rows_add_one(rows, pipeline, update,
                           checks_version ? batch_rows_version(held) : NULL);
        return;
    }
    add_update_sql(&rows->scratch, held, update->assigned, checks_version, &n_arrays);
    begin_arrays(rows, n_arrays);
    add_update_values(rows, held, update->before, update->after, update->assigned);
    if (checks_version)
        pg_array_add(&rows->texts[n_arrays - 1], batch_rows_version(held));
    add_statement(rows, pipeline, 1, n_arrays);
}

/* ---- one row ---- */

static bool is_one_row(struct update *const *updates, int n)
{
    for (int i = 1; i < n; i++)
        if (updates[i]->held != updates[0]->held)
            return false;
    return true;
}

/* All updates of one row: there is no order in which it could be locked. */
static void add_row(struct batch_rows *rows, struct pg_pipeline *pipeline,
                    struct update *const *updates, int n)
{
    const struct held *held = updates[0]->held;
    struct update all = batch_rows_all_of(updates[0]);
    if (held->merges) {
        add_single(rows, pipeline, &all, /* checks_version= */ true);
        return;
    }
    for (int i = 0; i < n; i++)
        add_single(rows, pipeline, updates[i], /* checks_version= */ i == 0);
}

/* ---- several rows in one statement ---- */

/* True if all rows of the group merge into one UPDATE that finds each where it was loaded, in this
 * transaction. */
static bool stand_where_loaded(const struct batch_rows *rows, struct update *const *updates, int n)
{
    const struct held *first = updates[0]->held;
    if (rows->keeps_as_read || batch_rows_is_wide(first->row.table, first->assigned))
        return false;
    for (int i = 0; i < n; i++) {
        const struct held *held = updates[i]->held;
        if (!held->merges || !batch_rows_version(held) || !same_columns(held, first))
            return false;
    }
    return true;
}

/* The same as something that no index answers. */
static void add_key_sameness(struct text *sql, const struct held *held)
{
    for (int i = 0; i < held->n_id_columns; i++) {
        const struct column *column = &held->row.table->columns[held->id_columns[i]];
        text_addf(sql, "%st.%s IS NOT DISTINCT FROM ", i ? " AND " : "", column->quoted);
        batch_rows_add_value(sql, column, "k", i + 1);
    }
}

/* Rows are locked by the UPDATE itself, in key order: see sql/save_in_order.sql. A row that was
 * changed stands elsewhere now, and the count is not met. What stands in its place could have its
 * version, when the table was rewritten; it has another key. With an equality of keys the plan of a
 * table that was tiny would go along an index, in its order, for each row through all of it: and
 * would stay when the table has grown. */
static void add_in_place(struct batch_rows *rows, struct pg_pipeline *pipeline,
                         struct update *const *updates, int n)
{
    const struct held *first = updates[0]->held;
    const struct table *table = first->row.table;
    struct text *sql = &rows->scratch;
    int n_keys = first->n_id_columns, param = n_keys + 1, n_set = 0, n_rows = 0;
    text_clear(sql);
    text_addf(sql, "WITH u AS (UPDATE %s t SET ", table->quoted);
    for (int c = 0; c < table->n_columns; c++)
        if (batch_rows_bit(first->assigned, c))
            add_assignment(sql, &table->columns[c], /* wide= */ false, 0, ++n_set);
    text_add_chars(sql, " FROM (SELECT * FROM unnest(");
    add_key_types(sql, first, 2);
    for (int c = 0; c < table->n_columns; c++)
        if (batch_rows_bit(first->assigned, c))
            text_addf(sql, ", $%d::%s[]", ++param, batch_rows_array_type(&table->columns[c]));
    text_addf(sql, ", $%d::tid[], $%d::xid[]) AS v(", param + 1, param + 2);
    add_key_names(sql, first);
    for (int i = 1; i <= n_set; i++)
        text_addf(sql, ", c%d", i);
    text_add_chars(sql, ", at, x)");
    add_key_order(sql, first);
    text_add_chars(sql, ") AS v WHERE t.ctid = v.at AND t.xmin = v.x AND ");
    add_key_sameness(sql, first);
    text_add_chars(sql, " RETURNING 1) ");
    batch_rows_add_expect(sql);
    text_add_chars(sql, " FROM u");

    int n_arrays = begin_arrays(rows, n_keys + n_set + 2);
    for (int i = 0; i < n; i++) {
        const struct held *held = updates[i]->held;
        if (updates[i]->before != held->first_cells)
            continue; /* a later update of a row that stands here already */
        add_update_values(rows, held, held->first_cells, held->row.cells, held->assigned);
        pg_array_add(&rows->texts[n_arrays - 2], held->ctid);
        pg_array_add(&rows->texts[n_arrays - 1], batch_rows_version(held));
        n_rows++;
    }
    pg_pipeline_add(pipeline, PG_PREPARED, SQL_SAVE_IN_ORDER, 0, NULL);
    add_statement(rows, pipeline, n_rows, n_arrays);
}

static void add_rows(struct batch_rows *rows, struct pg_pipeline *pipeline,
                     struct update *const *updates, int n)
{
    add_locks(rows, pipeline, updates, n);
    for (int i = 0; i < n; i++) {
        const struct held *held = updates[i]->held;
        if (held->merges && updates[i]->before == held->first_cells && !merged_earlier(updates, i))
            add_merged(rows, pipeline, updates, i, n);
    }
    for (int i = 0; i < n; i++) {
        const struct held *held = updates[i]->held;
        bool first = updates[i]->before == held->first_cells;
        /* What a trigger or the like did before may have changed the row since it was locked. */
        if (!held->merges)
            add_single(rows, pipeline, updates[i], first && held->row.table->writes_spread);
    }
}

/* ---- all ---- */

static bool any_spreads(const struct batch_rows *rows)
{
    for (int i = 0; i < rows->n_updates; i++)
        if (rows->updates[i].held->row.table->writes_spread)
            return true;
    return false;
}

void batch_rows_add_saves(struct batch_rows *rows, struct pg_pipeline *pipeline, bool last)
{
    if (rows->n_updates <= 0)
        return;
    bool spreads = any_spreads(rows);
    if (spreads)
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_PLAN_OWN, 0, NULL);
    struct update **sorted = calloc((size_t)rows->n_updates, sizeof *sorted);
    if (!sorted) {
        rows->failed = true;
        return;
    }
    for (int i = 0; i < rows->n_updates; i++)
        sorted[i] = &rows->updates[i];
    qsort(sorted, (size_t)rows->n_updates, sizeof *sorted, compare_updates);
    for (int from = 0, to; from < rows->n_updates; from = to) {
        to = from + 1;
        while (to < rows->n_updates && compare_groups(sorted[from]->held, sorted[to]->held) == 0)
            to++;
        if (is_one_row(sorted + from, to - from))
            add_row(rows, pipeline, sorted + from, to - from);
        else if (last && !rows->wrote && !spreads &&
                 stand_where_loaded(rows, sorted + from, to - from))
            add_in_place(rows, pipeline, sorted + from, to - from);
        else
            add_rows(rows, pipeline, sorted + from, to - from);
    }
    rows->wrote = true;
    free(sorted);
}

bool batch_rows_add_delete(struct batch_rows *rows, struct row *row, enum version_check check,
                           struct pg_pipeline *pipeline, struct fault *fault)
{
    struct held *held = (struct held *)row;
    if (!batch_rows_can_be_found(held, fault))
        return false;
    if (row->table->writes_spread)
        pg_pipeline_add(pipeline, PG_PREPARED, SQL_PLAN_OWN, 0, NULL);
    struct text *sql = &rows->scratch;
    int n_keys = held->n_id_columns, n_arrays = begin_arrays(rows, n_keys + 1);
    /* Once it is saved, which checks the version, this transaction itself has changed it. */
    bool ignored = check == VERSION_IGNORED || !row->xmin[0] || held->n_updates > 0;
    add_keys(rows, held, row->cells);
    pg_array_add(&rows->texts[n_keys], ignored ? NULL : row->xmin);
    text_clear(sql);
    text_addf(sql, "WITH u AS (DELETE FROM %s t USING unnest(", row->table->quoted);
    add_key_types(sql, held, 2);
    text_addf(sql, ", $%d::xid[]) AS v(", n_keys + 2);
    add_key_names(sql, held);
    text_add_chars(sql, ", x) WHERE ");
    add_key_match(sql, held);
    text_add_chars(sql, " AND (v.x IS NULL OR t.xmin = v.x) RETURNING 1) ");
    batch_rows_add_expect(sql);
    text_add_chars(sql, " FROM u");
    add_statement(rows, pipeline, 1, n_arrays);
    rows->spread = rows->wrote = true;
    return true;
}

/* First all leave the index, then all enter it: keys may have been exchanged. */
bool batch_rows_saved(struct batch_rows *rows, struct fault *fault)
{
    bool ok = true;
    for (int i = 0; i < rows->n_updates; i++) {
        struct held *held = rows->updates[i].held;
        held->n_updates = 0;
        held->row.xmin[0] = '\0';
        if (held->row.table->n_primary_key)
            batch_rows_unindex(rows, held);
    }
    for (int i = 0; i < rows->n_updates; i++) {
        struct held *held = rows->updates[i].held;
        if (held->row.table->n_primary_key && !held->identity)
            ok = batch_rows_index(rows, held, /* ctid= */ "") && ok;
    }
    rows->n_updates = 0;
    return ok || fault_no_memory(fault);
}

bool batch_rows_ok(const struct batch_rows *rows, struct fault *fault)
{
    return rows->failed ? fault_no_memory(fault) : true;
}
