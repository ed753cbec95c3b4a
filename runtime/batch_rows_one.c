/* How one row is saved by itself: its values are parameters, and no arrays. */
#include "batch_rows_private.h"

#include <string.h>

enum {
    NARROW_COLUMNS_MAX = 24, /* with the key's columns, at most 32, below PG_PARAMS_MAX */
};

bool batch_rows_is_wide(const struct table *table, const uint64_t *assigned)
{
    int n_set = 0;
    for (size_t w = 0; w < batch_rows_bit_words(table); w++)
        n_set += __builtin_popcountll(assigned[w]);
    return n_set > NARROW_COLUMNS_MAX;
}

const char *batch_rows_version(const struct held *held)
{
    return held->version_ignored || !held->row.xmin[0] ? NULL : held->row.xmin;
}

void batch_rows_add_expect(struct text *sql)
{
    text_add_chars(sql, "SELECT CASE WHEN (count(*) = $1::bigint) IS NOT TRUE THEN "
                        "@schema@.expect(count(*), $1::bigint, "
                        "'rows changed by somebody else') END");
}

/* What finds the row. One that is remembered answers a question of long ago: perhaps it has another
 * key since. */
struct key {
    const int *columns;
    const char *const *values; /* NULL: those that the row had */
    int n_columns;
};

static struct key key_of(const struct batch_rows *rows, const struct held *held)
{
    const struct slot *asked = rows->recalled;
    if (asked)
        return (struct key){asked->load->columns, asked->values, asked->load->n_columns};
    return (struct key){held->id_columns, NULL, held->n_id_columns};
}

/* Whoever gives the columns of a table another meaning, by other names or defaults, writes no row:
 * place and version stay. So the values are compared too, by their names. */
static void add_content(struct text *sql, const struct table *table)
{
    for (int c = 0; c < table->n_columns; c++)
        text_addf(sql, "%st.%s", c ? ", " : "ROW(", table->columns[c].quoted);
    text_add_chars(sql, ")::text");
}

/* "WITH u AS (UPDATE ...) ", whose parameters follow n_before others. */
static void add_one_sql(struct text *sql, const struct update *update, const struct key *key,
                        const char *version, enum save_manner manner, int n_before)
{
    const uint64_t *assigned = update->assigned;
    const struct table *table = update->held->row.table;
    int param = n_before + key->n_columns;
    const char *before = " SET ";
    text_clear(sql);
    text_addf(sql, "WITH u AS (UPDATE %s t", table->quoted);
    for (int c = 0; c < table->n_columns; c++) {
        if (!batch_rows_bit(assigned, c))
            continue;
        text_addf(sql, "%s%s = ", before, table->columns[c].quoted);
        batch_rows_add_param(sql, &table->columns[c], ++param);
        before = ", ";
    }
    before = " WHERE ";
    for (int i = 0; i < key->n_columns; i++) {
        const struct column *column = &table->columns[key->columns[i]];
        text_addf(sql, "%st.%s = ", before, column->quoted);
        batch_rows_add_param(sql, column, n_before + i + 1);
        before = " AND ";
    }
    if (version)
        text_addf(sql, " AND t.xmin = $%d::xid", param + 1);
    if (manner == SAVE_RECALLED) {
        text_addf(sql, " AND t.ctid = $%d::tid AND NOT EXISTS (SELECT FROM @schema@.lease) AND ",
                  param + 2);
        add_content(sql, table);
        text_addf(sql, " = $%d::text", param + 3);
    }
    text_add_chars(sql, " RETURNING ");
    if (manner == SAVE_SILENT) {
        text_add_char(sql, '1');
    } else {
        text_add_chars(sql, "0 AS none, t.ctid, t.xmin");
        for (int c = 0; c < table->n_columns; c++)
            text_addf(sql, ", t.%s", table->columns[c].quoted);
    }
    text_add_chars(sql, ") ");
}

struct values {
    const char *params[PG_PARAMS_MAX];
    char buffers[PG_PARAMS_MAX][CELL_BUFFER_BYTES];
    int n;
};

/* The parameters of add_one_sql. */
static void add_one_values(struct values *values, const struct update *update,
                           const struct key *key, const char *version)
{
    int n = values->n;
    for (int i = 0; i < key->n_columns; i++, n++)
        values->params[n] = key->values
                                ? key->values[i]
                                : cell_write(&update->before[key->columns[i]], values->buffers[n]);
    for (int c = 0; c < update->held->row.table->n_columns; c++) {
        if (!batch_rows_bit(update->assigned, c))
            continue;
        values->params[n] = cell_write(&update->after[c], values->buffers[n]);
        n++;
    }
    if (version)
        values->params[n++] = version;
    values->n = n;
}

static int send_one(struct batch_rows *rows, struct pg_pipeline *pipeline,
                    const struct values *values)
{
    rows->failed = rows->failed || rows->scratch.failed;
    return pg_pipeline_add(pipeline, PG_PREPARED, text_chars(&rows->scratch), values->n,
                           values->params);
}

void batch_rows_add_one(struct batch_rows *rows, struct pg_pipeline *pipeline,
                        const struct update *update, const char *version)
{
    const struct key key = key_of(rows, update->held);
    struct values values;
    values.params[0] = "1";
    values.n = 1;
    add_one_values(&values, update, &key, version);
    add_one_sql(&rows->scratch, update, &key, version, SAVE_SILENT, 1);
    batch_rows_add_expect(&rows->scratch);
    text_add_chars(&rows->scratch, " FROM u");
    send_one(rows, pipeline, &values);
}

struct update batch_rows_all_of(const struct update *first)
{
    struct held *held = first->held;
    return (struct update){.held = held,
                           .before = held->first_cells,
                           .after = held->row.cells,
                           .assigned = held->assigned};
}

bool batch_rows_saves_one(const struct batch_rows *rows, int n_params)
{
    if (rows->n_updates < 1)
        return false;
    const struct held *held = rows->updates[0].held;
    int n_most = n_params + key_of(rows, held).n_columns + NARROW_COLUMNS_MAX + 3;
    for (int i = 1; i < rows->n_updates; i++)
        if (rows->updates[i].held != held || !held->merges)
            return false;
    return !held->row.table->writes_spread && n_most <= PG_PARAMS_MAX &&
           !batch_rows_is_wide(held->row.table,
                               held->merges ? held->assigned : rows->updates[0].assigned);
}

int batch_rows_add_save_within(struct batch_rows *rows, struct pg_pipeline *pipeline,
                               enum save_manner manner, const char *list, const char *last,
                               int n_params, const char *const *params)
{
    struct update *first = &rows->updates[0];
    struct update update = first->held->merges ? batch_rows_all_of(first) : *first;
    const struct held *held = update.held;
    bool recalled = manner == SAVE_RECALLED;
    const char *version = recalled ? held->row.xmin : batch_rows_version(held);
    const char *gives = manner == SAVE_SILENT ? "" : "mark AS (";
    const struct key key = key_of(rows, held);
    struct values values;
    memcpy(values.params, params, (size_t)n_params * sizeof *params);
    values.n = n_params;
    add_one_values(&values, &update, &key, version);
    if (recalled) {
        values.params[values.n++] = held->ctid;
        values.params[values.n++] = rows->content;
    }
    add_one_sql(&rows->scratch, &update, &key, version, manner, n_params);
    text_add_chars(&rows->scratch, ", ");
    text_add(&rows->scratch, list, (size_t)(last - list));
    text_addf(&rows->scratch,
              "%s%s%s WHERE coalesce((SELECT true FROM u), "
              "@schema@.expect(0, 1, 'rows changed by somebody else') IS NULL)",
              *gives ? ", " : "", gives, last);
    if (*gives)
        text_add_chars(&rows->scratch, ") SELECT * FROM u");
    return send_one(rows, pipeline, &values);
}
